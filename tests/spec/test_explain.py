"""What a user reads when an experiment file is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from steerctl.errors import SpecError
from steerctl.spec.load import load_spec

WRONG = """\
extends: base.yaml
name: "bad name"
polcy: {}
optim:
  learning_rate: 3e-6
  lr: "1e-6"
  betas: [0.9]
  updates_per_step: 1.5
rollout:
  num_generations: 8
  temperature: 0
  group_sise: 4
  top_p: yes
algorithm:
  reduction: token_meen
  loss: {kind: ppo_clp}
  interventions:
    - kind: clip_higher
      clip_ratio_hihg: 3
    - {kl_coef: 0.1}
    - kind: kl
      estimator: k9
epsilon_high: 0.3
checkpoint: 5
engine: {offload_optimizer: yes, ranks: null}
"""

EXPECTED = """\
2: name: the text 'bad name' does not match ^[A-Za-z0-9][A-Za-z0-9._-]*$; use letters, digits, dots, dashes and \
underscores, beginning with a letter or digit
3: polcy: not a known key; did you mean policy?
5: optim.learning_rate: not a known key; did you mean optim.lr?
6: optim.lr: expected a number, got the text '1e-6'; leave out the quotes
7: optim.betas: the list is too short
8: optim.updates_per_step: expected a whole number, got 1.5
10: rollout.num_generations: not a known key; did you mean rollout.group_size?
11: rollout.temperature: must be > 0, got 0
12: rollout.group_sise: not a known key; did you mean group_size?
13: rollout.top_p: expected a number, got the text 'yes'
15: algorithm.reduction: expected one of token_mean, seq_mean_token_mean, seq_mean_token_sum, constant_norm, got the \
text 'token_meen'; did you mean token_mean?
19: algorithm.interventions.0.clip_ratio_hihg: not a known key; did you mean clip_ratio_high?
22: algorithm.interventions.2.estimator: expected one of k1, k2, k3, abs, got the text 'k9'
23: epsilon_high: not a known key; did you mean algorithm.loss.clip_ratio_high?
24: checkpoint: expected a mapping of keys, got 5
25: engine.offload_optimizer: expected true or false, got the text 'yes'; write true
25: engine.ranks: expected a whole number, got nothing
"""


def complaint(path: Path, *overrides: str) -> str:
    with pytest.raises(SpecError) as caught:
        load_spec(path, overrides)
    return str(caught.value)


def test_every_fault_at_its_line_in_the_order_of_the_file(write) -> None:
    write(name="base.yaml")
    path = write(WRONG)
    lines = [line.removeprefix(f"{path}:") for line in complaint(path).splitlines()]
    kinds = [line for line in lines if "known kinds" in line]
    assert [line for line in lines if line not in kinds] == EXPECTED.splitlines()
    assert kinds[0].startswith("16: algorithm.loss.kind: unknown kind 'ppo_clp'; did you mean ppo_clip?; known kinds: ")
    assert kinds[1].startswith("20: algorithm.interventions.1: needs a kind; known kinds: ")


def test_a_fault_in_a_parent_names_the_parent(write) -> None:
    parent = write(write().read_text() + "stepps: 3\n", "base.yaml")
    assert complaint(write("extends: base.yaml\n")) == f"{parent}:8: stepps: not a known key; did you mean steps?"


def test_missing_parts_are_asked_for(write) -> None:
    lines = complaint(write("name: x\ndata: {template: plain}\n")).splitlines()
    assert lines[0].endswith("exp.yaml:1: reward: missing")
    assert "exp.yaml:2: data.train: missing" in lines[1]


def test_a_rule_between_values_stands_where_one_of_them_was_written(write) -> None:
    path = write(write().read_text() + "  updates_per_step: 7\n")
    rule = "rollout.problems_per_step (64) must be divisible by optim.updates_per_step (7)"
    assert complaint(path) == f"{path}:8: {rule}"
    assert complaint(write(), "optim.updates_per_step=7") == f"command line: {rule}"


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("optim.lr=abc", "optim.lr: expected a number, got the text 'abc'"),
        ("optim.lr=true", "optim.lr: expected a number, got true"),
        ("optim.lr=.nan", "optim.lr: must be > 0, got nan"),
        ("steps=3.0", "steps: expected a whole number, got 3.0"),
        ("steps=[1]", "steps: expected a whole number, got a list of 1"),
        ("policy.model=3", 'policy.model: expected text, got 3; write "3" in quotes'),
        ("policy={model: [x]}", "policy.model: expected text, got a list of 1"),
        ("optim=5", "optim: expected a mapping of keys, got 5"),
        ("log.wandb=true", "log.wandb: expected one of off, offline, online, got true"),
        ("rollout.top_p=1.5", "rollout.top_p: must be <= 1, got 1.5"),
        ("lr=1e-6", "lr: not a known key; did you mean optim.lr?"),
        ("temperature=1", "temperature: not a known key; did you mean rollout.temperature?"),
        ("algorithm.kl_coef=1", "algorithm.kl_coef: not a known key; did you mean an intervention `kind: kl`"),
        ("rollout.generator.kind=vlm", "rollout.generator.kind: unknown kind 'vlm'"),
        ("zzz=1", "zzz: not a known key"),
    ],
)
def test_plain_words(write, override: str, said: str) -> None:
    text = complaint(write(), override)
    assert text.startswith(f"command line: {said}")
    assert "\n" not in text


def test_unreadable_unicode_is_refused(write) -> None:
    text = complaint(write(), r'policy.model="\uD800"')
    assert "command line" in text or "exp.yaml" in text
    assert "Unicode" in text
