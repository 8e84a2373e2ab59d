"""`rollout.ahead: 1` as a user runs it: versions, resuming bit for bit, two ranks."""

from __future__ import annotations

import json

import pyarrow.parquet as pq
import pytest

from tests.run.command import SMALL, metrics, start, train, weights, write_spec

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]

STEPS = 4
BOUND = 1.1
AHEAD = {
    "steps": STEPS,
    "validate_every": 0,
    "checkpoint": {"every": 2},
    "rollout": {**SMALL["rollout"], "ahead": 1, "correction": {"kind": "truncated", "high": BOUND}},
}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    done = train(write_spec(folder, **AHEAD), "--quiet")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return folder / "runs" / "small"


def versions(run, step: int) -> set[int]:
    table = pq.read_table(run / f"rollouts/step_{step:06d}.parquet")
    return set(table.column("weight_version").to_pylist())


def assert_equal_runs(run, other):
    assert metrics(run) == metrics(other)
    assert weights(run) == weights(other)
    for step in range(1, STEPS + 1):
        name = f"rollouts/step_{step:06d}.parquet"
        assert pq.read_table(run / name).equals(pq.read_table(other / name)), step


def test_every_step_but_the_first_trains_on_rollouts_one_push_old(undisturbed):
    assert [versions(undisturbed, step) for step in range(1, STEPS + 1)] == [{0}, {0}, {1}, {2}]
    lines = metrics(undisturbed)
    assert [line["mismatch/staleness/mean"] for line in lines] == [0, 1, 1, 1]
    # The same weights: rounding. Older weights: what an update did.
    assert lines[0]["mismatch/logprob_abs/max"] < 1e-4
    assert all(line["mismatch/logprob_abs/mean"] > 1e-3 for line in lines[1:])
    assert all(line["correction/weight/max"] <= BOUND + 1e-6 for line in lines)
    assert lines[1]["correction/truncated/fraction"] > 0
    assert lines[1]["mismatch/effective/fraction"] < lines[0]["mismatch/effective/fraction"] <= 1 + 1e-9


def test_the_correction_is_a_column_and_the_weight_holds_it(undisturbed):
    table = pq.read_table(undisturbed / "rollouts/step_000003.parquet")
    pairs = zip(table.column("correction").to_pylist(), table.column("weight").to_pylist(), strict=True)
    for correction, weight in pairs:
        assert len(correction) == len(weight) > 0
        assert max(correction) <= BOUND + 1e-6
        assert all(own <= whole + 1e-6 for own, whole in zip(weight, correction, strict=True))  # STEER's is at most 1


def test_killed_between_checkpoints_and_resumed_equals_the_undisturbed_run(undisturbed, tmp_path):
    spec, run = write_spec(tmp_path, **AHEAD), tmp_path / "runs" / "small"
    process = start(spec)
    for line in process.stdout:
        if line.startswith("step 3/"):
            process.kill()
            break
    process.communicate()
    state = json.loads((run / "checkpoints" / "step_000002" / "state.json").read_text())
    assert state["pending"]["step"] == 2
    done = train("--resume", run, "--quiet")
    assert done.returncode == 0, done.stderr
    assert_equal_runs(run, undisturbed)


def test_a_finished_run_can_be_made_longer_and_equals_the_long_run(undisturbed, tmp_path):
    spec, run = write_spec(tmp_path, **{**AHEAD, "steps": 3}), tmp_path / "runs" / "small"
    assert train(spec, "--quiet").returncode == 0
    done = train("--resume", run, f"steps={STEPS}", "--quiet")
    assert done.returncode == 0, done.stderr
    assert_equal_runs(run, undisturbed)


def test_two_ranks_do_what_one_does(undisturbed, tmp_path):
    done = train(write_spec(tmp_path, **AHEAD), "engine.ranks=2", "--quiet")
    assert done.returncode == 0, done.stderr
    run = tmp_path / "runs" / "small"
    assert [versions(run, step) for step in range(1, STEPS + 1)] == [{0}, {0}, {1}, {2}]
    lines, reference = metrics(run), metrics(undisturbed)
    for key in ("batch/tokens/count", "reward/mean", "mismatch/staleness/max"):
        assert [line[key] for line in lines[:2]] == [line[key] for line in reference[:2]], key
    for key in ("optim/grad_norm/mean", "mismatch/effective/fraction", "correction/weight/mean", "policy/entropy/mean"):
        assert lines[0][key] == pytest.approx(reference[0][key], rel=1e-6, abs=1e-6), key
        assert lines[1][key] == pytest.approx(reference[1][key], rel=1e-4, abs=1e-6), key
