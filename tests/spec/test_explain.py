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
11: rollout.temperature: must be >= 0.001, got 0
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
    assert complaint(write(), "optim.updates_per_step=7") == f"command line: optim.updates_per_step: {rule}"


def test_a_rule_broken_by_an_override_names_the_override_though_the_file_wrote_the_other_value(write) -> None:
    path = write(write().read_text() + "rollout:\n  problems_per_step: 64\n")
    assert complaint(path, "optim.updates_per_step=7").startswith("command line: optim.updates_per_step: rollout.prob")
    assert complaint(path, "rollout.problems_per_step=7").startswith("command line: rollout.problems_per_step: ")


def test_a_rule_inside_a_plug_in_names_the_override_or_the_key_s_line(write) -> None:
    text = write().read_text() + "algorithm:\n  interventions:\n    - kind: clip_cov\n      clip_cov_ub: 2.0\n"
    path = write(text)
    given = complaint(path, "algorithm.interventions.0.clip_cov_lb=3")
    assert given == "command line: algorithm.interventions.0.clip_cov_lb: clip_cov_lb must be below clip_cov_ub"
    path = write(text.replace("2.0", "0.5"))
    assert complaint(path) == f"{path}:11: algorithm.interventions.0: clip_cov_lb must be below clip_cov_ub"


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("optim.lr=abc", "optim.lr: expected a number, got the text 'abc'"),
        ("optim.lr=true", "optim.lr: expected a number, got true"),
        ("optim.lr=.nan", "optim.lr: expected a finite number, got nan"),
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


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("seed=9223372036854775808", "seed: must be <= 9223372036854775807, got 9223372036854775808"),
        ("data.train={kind: arithmetic, seed: 9223372036854775808}", "data.train.seed: must be <= 9223372036854775807"),
        ("data.train={kind: arithmetic, count: 4096000000}", "data.train.count: must be <= 10000000"),
        ("optim.betas=[0.9, 1.0]", "optim.betas.1: must be < 1, got 1"),
        ("optim.betas=[-0.1, 0.9]", "optim.betas.0: must be >= 0, got -0.1"),
        ("optim.lr=.inf", "optim.lr: expected a finite number"),
        ("optim.eps=.inf", "optim.eps: expected a finite number"),
        ("optim.weight_decay=.inf", "optim.weight_decay: expected a finite number"),
        ("optim.max_grad_norm=.nan", "optim.max_grad_norm: must be > 0"),
        ("reward.correct=.nan", "reward.correct: expected a finite number"),
        ("reward.incorrect=-.inf", "reward.incorrect: expected a finite number"),
        ("reward.overlong={cache_tokens: 4, factor: .inf}", "reward.overlong.factor: expected a finite number"),
        ("algorithm.advantage.epsilon=.inf", "algorithm.advantage.epsilon: expected a finite number"),
        ("rollout.temperature=0.0009", "rollout.temperature: must be >= 0.001, got 0.0009"),
        ("rollout.temperature=.inf", "rollout.temperature: expected a finite number"),
        ("rollout.group_size=8000000", "rollout.group_size: must be <= 100000, got 8000000"),
        ("rollout.problems_per_step=64000000", "rollout.problems_per_step: must be <= 100000"),
        (
            "rollout={group_size: 1024, problems_per_step: 1024}",
            "rollout.problems_per_step: rollout.problems_per_step (",
        ),
        ("rollout.max_tokens=48000000", "rollout.max_tokens: must be <= 1048576"),
        ("steps=100000000", "steps: must be <= 10000000, got 100000000"),
        ("engine.ranks=8000000", "engine.ranks: must be <= 4096"),
        ("name=latest", "name: a run cannot be called latest: that name points to the newest run; choose another"),
        (f"name={'x' * 201}", "name: has 201 characters; 200 at most"),
    ],
)
def test_bounds_keep_some_zeros_too_many_from_becoming_an_exhausted_machine(write, override: str, said: str) -> None:
    text = complaint(write(), override)
    assert text.startswith(f"command line: {said}")
    assert "\n" not in text


def test_what_lies_at_the_bounds_is_taken(write) -> None:
    settings = ["seed=9223372036854775807", "optim.betas=[0, 0.999]", "rollout.temperature=0.001", f"name={'x' * 200}"]
    assert load_spec(write(), [*settings, "optim.max_grad_norm=.inf", "algorithm.loss.clip_ratio_high=.inf"])
