"""`steerctl train --from-rollouts`: a run's own rollouts give that run again; what does not fit is one line."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from steerctl.engine.frozen import Alone
from steerctl.engine.models import load_tokenizer
from steerctl.errors import DataError
from steerctl.rollout.replay import NoGenerator
from steerctl.run.collecting import group_collector, prepared_problems
from steerctl.run.replay import open_replay, replayed_before
from steerctl.run.timing import Clock
from steerctl.spec.load import load_spec
from tests.run.command import environment, metrics, train, weights, write_spec
from tests.run.test_resume import assert_equal_runs

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]


def rollout(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "steerctl", "rollout", *map(str, arguments)],
        env=environment(), capture_output=True, text=True, check=False, timeout=280,
    )  # fmt: skip


@pytest.fixture(scope="module")
def sampled(tmp_path_factory):
    """A run with validation, and the spec it ran with."""
    folder = tmp_path_factory.mktemp("sampled")
    spec = write_spec(folder)
    done = train(spec, "--quiet")
    assert done.returncode == 0, done.stderr
    return spec, folder / "runs" / "small"


def replay(sampled, tmp_path, *arguments, source=None):
    spec, run = sampled
    return train(spec, f"output={tmp_path / 'runs'}", "--from-rollouts", source or run, "--quiet", *arguments)


def one_line(done) -> str:
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    (line,) = done.stderr.splitlines()
    return line


def test_a_runs_own_rollouts_give_that_run_again_bit_for_bit_also_when_resumed(sampled, tmp_path) -> None:
    done = replay(sampled, tmp_path, "steps=3")
    assert done.returncode == 0, done.stderr
    run = tmp_path / "runs" / "small"
    resumed = train("--resume", run, "steps=6", "--quiet")
    assert resumed.returncode == 0, resumed.stderr
    assert_equal_runs(run, sampled[1])


def test_two_ranks_replay_what_one_sampled(sampled, tmp_path) -> None:
    done = replay(sampled, tmp_path, "steps=2", "engine.ranks=2", "validate_every=0")
    assert done.returncode == 0, done.stderr
    found, expected = metrics(tmp_path / "runs" / "small"), metrics(sampled[1])[1:3]
    assert [line["step"] for line in found] == [1, 2]
    for key in ("reward/mean", "policy/entropy/mean", "optim/grad_norm/mean"):
        assert [line[key] for line in found] == pytest.approx([line[key] for line in expected], rel=1e-4), key


def test_a_resumed_run_goes_on_with_what_it_began_with(tmp_path) -> None:
    begun = {"from_rollouts": str(tmp_path)}
    assert replayed_before(begun, None) == replayed_before(begun, tmp_path) == tmp_path
    assert replayed_before({}, None) is None
    with pytest.raises(DataError, match=f"the run that is resumed replays {tmp_path};"):
        replayed_before(begun, tmp_path / "other")
    with pytest.raises(DataError, match="the run that is resumed samples;"):
        replayed_before({}, tmp_path)


def test_a_file_of_rollouts_trains_as_the_run_that_samples_the_same_and_without_a_generator(sampled, tmp_path) -> None:
    file = tmp_path / "rollouts.jsonl"
    # In the parts that a run samples at a time: equal requests give equal bits.
    done = rollout(sampled[0], "--num-problems", 16, "--chunk", 8, "--out", file, "--quiet")
    assert done.returncode == 0, done.stderr
    # Served weights that nobody can serve: nothing but validation would have asked for a generator.
    nobody = "rollout.generator={kind: vllm, urls: ['http://127.0.0.1:9']}"
    done = replay(sampled, tmp_path, "steps=2", "validate_every=0", nobody, source=file)
    assert done.returncode == 0, done.stderr
    first, second = metrics(tmp_path / "runs" / "small")
    reference = {line["step"]: line for line in metrics(sampled[1])}
    assert first == reference[1]
    assert second != reference[2]
    assert second["mismatch/logprob_abs/max"] > 10 * first["mismatch/logprob_abs/max"]
    assert weights(tmp_path / "runs" / "small") != weights(sampled[1])


def test_the_run_that_is_replayed_is_not_overwritten(sampled) -> None:
    spec, run = sampled
    before = (run / "metrics.jsonl").read_bytes()
    done = train(spec, "--from-rollouts", run, "--overwrite", "--quiet")
    assert "is in the run that would be written; choose another name" in one_line(done)
    assert (run / "metrics.jsonl").read_bytes() == before


def test_a_file_that_runs_out_is_one_line(sampled, tmp_path) -> None:
    assert "enough for 6 steps of 8 problems, not for 7; set steps=6" in one_line(replay(sampled, tmp_path, "steps=7"))


def opened(sampled, path, *overrides, vocabulary=512):
    spec = load_spec(sampled[0], ["steps=1", *overrides]).spec
    prompts = prepared_problems(spec, spec.data.train, load_tokenizer(spec.policy))
    collector = group_collector(spec, prompts, NoGenerator(), spec.reward.verifier.open(), Alone())
    return open_replay(path, spec, collector, vocabulary, Clock())


@pytest.fixture
def one_step(sampled, tmp_path):
    shutil.copy(sampled[1] / "rollouts" / "step_000001.parquet", tmp_path / "one.parquet")
    return tmp_path / "one.parquet"


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("rollout.group_size=2", r"groups have 4 responses; set rollout\.group_size to that"),
        ("data.train.seed=9", r"is not in data\.train"),
        ("data.template=boxed", "asked in other tokens"),
        ("rollout.branching={roots: 1, branches: 3}", "do not say which tokens were given"),
        ("rollout.problems_per_step=10", "its 8 groups are enough for 0 steps of 10 problems"),
    ],
)
def test_rollouts_that_do_not_fit_the_experiment_are_refused(sampled, one_step, override, said) -> None:
    with pytest.raises(DataError, match=said):
        opened(sampled, one_step, override, "data.max_prompt_tokens=200")


def test_tokens_outside_the_vocabulary_and_other_temperatures_are_refused(sampled, one_step) -> None:
    with pytest.raises(DataError, match="outside the model's vocabulary of 100"):
        opened(sampled, one_step, vocabulary=100)
    with pytest.raises(DataError, match=r"sampled at temperature 1; set rollout\.temperature"):
        opened(sampled, sampled[1], "rollout.temperature=0.5")


def test_saved_verdicts_stand_only_if_the_verifier_is_the_same(sampled, one_step) -> None:
    assert opened(sampled, sampled[1]).judge is None
    assert opened(sampled, sampled[1], "reward.correct=2.0").judge is None
    assert opened(sampled, sampled[1], "reward.verifier={kind: dapo_strict}").judge is not None
    assert opened(sampled, one_step).judge is not None  # a file that does not say who judged
