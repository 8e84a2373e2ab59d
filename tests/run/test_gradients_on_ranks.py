"""What asks the policy for gradients, proxies, hints and branches does on two ZeRO-3 ranks what it does on one."""

from __future__ import annotations

import pytest

from tests.run.command import metrics, train, write_spec

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]

LIST = [
    {"kind": "rlrt", "hint": "{gold}"},
    {"kind": "lp_reg", "ratio": 0.1},
    {"kind": "entropy_target", "estimator": "influence", "flow_fraction": 0.5},
    {"kind": "kl", "kl_coef": 0.01},
    {"kind": "reference_reset", "every": 1},
    {"kind": "entropy_projection", "entropy_target": 3.0, "coef_max": 10.0},
]
BRANCHES = {"roots": 2, "branches": 1, "min_characters": 1}
EXACT = ("batch/tokens/count", "reward/mean", "response/length/mean")
CLOSE = (
    "policy/entropy/mean",
    "policy/entropy_after/mean",
    "optim/grad_norm/mean",
    "penalty/mean",
    "weight/mean",
    "weight/min",
    "advantage/abs/mean",
    "reference/kl/mean",
)


def run(folder, ranks):
    rollout = {"problems_per_step": 8, "group_size": 4, "max_tokens": 24, "branching": BRANCHES}
    spec = write_spec(folder, steps=2, validate_every=0, rollout=rollout, algorithm={"interventions": LIST})
    done = train(spec, f"engine.ranks={ranks}", "--quiet")
    assert done.returncode == 0, done.stderr
    return metrics(folder / "runs" / "small")


def test_two_ranks_do_what_one_does(tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    alone, together = run(tmp_path / "one", 1), run(tmp_path / "two", 2)
    first, expected = together[0], alone[0]
    for key in EXACT:
        assert first[key] == expected[key], key
    for key in CLOSE:
        assert first[key] == pytest.approx(expected[key], rel=1e-3, abs=1e-6), key
    assert expected["penalty/mean"] < 0
    assert expected["weight/min"] < 1
    assert expected["advantage/turned/fraction"] > 0
    files = [path for path in (tmp_path / "two").rglob("*.json") if "checkpoints" in path.parts]
    assert any('"resets": 2' in path.read_text() for path in files)
    indices = [path.read_text() for path in files if path.parent.name == "policy"]
    assert any('"reference:' in text for text in indices)  # the renewed reference is in the checkpoint
