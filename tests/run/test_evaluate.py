"""`steerctl eval` as a user runs it, with real engines: killed at any moment, gone on with, the same result."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest

import steerctl
from steerctl.cli._sampling import Silent
from steerctl.errors import DataError, RunFolderError
from steerctl.run.evaluate import evaluate
from steerctl.run.evaluate_plan import EvaluationRequest, make_evaluation
from tests.engine.toy import write_toy_model
from tests.run.code_files import write_code_files
from tests.run.command import environment
from tests.store.test_evaluations import group, kept

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]

SMALL = ("evaluation.max_tokens=12", "rollout.generator.max_sequences=8")
SLOW = """
import time, steerctl.store.samples as s
add = s.SampleFile.add
def slow(self, *arguments):
    add(self, *arguments)
    time.sleep(0.7)
s.SampleFile.add = slow
from steerctl.cli import main
main()
"""
"""The command with a rest after each part, so that a kill finds it at work on any machine."""


def start(*arguments, slow=False):
    program = ["-c", SLOW] if slow else ["-m", "steerctl"]
    return subprocess.Popen(
        [sys.executable, *program, "eval", *map(str, arguments)],
        env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip


def run(*arguments):
    process = start(*arguments)
    out, err = process.communicate(timeout=600)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def parts(folder):
    """Parts on disk, and finished benchmarks."""
    try:
        return len([*folder.glob("samples/*.parts/part_*"), *folder.glob("samples/*.parquet")])
    except FileNotFoundError:  # a folder that was given its name while we looked
        return 0


def kill_after(process, folder, count):
    deadline = time.monotonic() + 400
    while parts(folder) < count and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not (folder / "result.json").exists()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An evaluation that was left alone: the tiny policy's own sums, and mathematics."""
    folder = tmp_path_factory.mktemp("whole") / "out"
    done = run("--model", "tiny", "--suite", "arithmetic,aime24,math500", "--data", "examples", "--samples", 2,
               "--out", folder, *SMALL)  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder, done


def test_the_table_has_both_kinds_of_error_bar(whole) -> None:
    folder, done = whole
    assert "like these" in done.stdout
    assert "arithmetic" in done.stdout
    assert "left" in done.stderr
    result = json.loads((folder / "result.json").read_text())
    assert list(result["benchmarks"]) == ["arithmetic", "aime24", "math500"]
    each = result["benchmarks"]["arithmetic"]
    assert (each["questions"], each["samples"]) == (64, 2)
    assert 0.05 < each["accuracy"]["value"] < 0.5
    assert list(each["pass_at"]) == ["1", "2"]
    assert each["dataset"]["hash"] != each["prompt_hash"]
    assert result["engine"]["name"] == "embedded"
    assert result["versions"]["steerctl"] == steerctl.__version__
    assert result["macro"]["intervals"]["questions like these"]["error"] > 0


def test_killed_twice_and_gone_on_with_gives_the_same_bytes(whole, tmp_path) -> None:
    folder = tmp_path / "out"
    arguments = ("--model", "tiny", "--suite", "arithmetic,aime24,math500", "--data", "examples", "--samples", 2,
                 "--out", folder, "-q", *SMALL)  # fmt: skip
    for count in (2, 6):
        kill_after(start(*arguments, slow=True), folder, count)
    done = run(*arguments)
    assert done.returncode == 0, done.stderr
    assert (folder / "result.json").read_bytes() == (whole[0] / "result.json").read_bytes()
    assert not list(folder.glob("samples/*.parts"))


def request(folder, *overrides, **changes):
    settings = {"suite": "arithmetic,aime24,math500", "folder": "examples", "samples": 2, **changes.pop("settings", {})}
    return EvaluationRequest("tiny", settings, (*SMALL, *overrides), out=folder, **changes)


def evaluated(asked):
    return evaluate(make_evaluation(asked), Silent)


def test_a_finished_evaluation_is_not_sampled_again_and_never_mixed(whole) -> None:
    before = (whole[0] / "result.json").read_bytes()
    stamps = [path.stat().st_mtime_ns for path in sorted(whole[0].glob("samples/*"))]
    evaluated(request(whole[0]))
    assert (whole[0] / "result.json").read_bytes() == before
    assert [path.stat().st_mtime_ns for path in sorted(whole[0].glob("samples/*"))] == stamps
    with pytest.raises(RunFolderError, match=r"sampling\.temperature: 1\.0 there, 0\.5 here"):
        evaluated(request(whole[0], "evaluation.temperature=0.5"))
    with pytest.raises(RunFolderError, match="seed"):
        evaluated(request(whole[0], "seed=2"))


def test_saved_responses_give_the_same_scores(whole, tmp_path) -> None:
    """Without model and engine; a question without a response is an error, also where others have theirs."""
    file = whole[0] / "samples" / "arithmetic.parquet"
    asked = EvaluationRequest(None, {"suite": "arithmetic"}, (), from_rollouts=file, out=tmp_path / "saved")
    ours = evaluated(asked)["benchmarks"]["arithmetic"]
    theirs = json.loads((whole[0] / "result.json").read_text())["benchmarks"]["arithmetic"]
    assert ours.pop("sampling")["saved"] is not None
    theirs.pop("sampling")
    assert ours == theirs
    both = EvaluationRequest(None, {"suite": "arithmetic,math500", "folder": "examples"}, (), from_rollouts=file)
    with pytest.raises(DataError, match="questions of math500 have no response"):
        make_evaluation(both)


def test_missing_files_are_one_line_and_exit_code_2(tmp_path) -> None:
    done = run("--model", "tiny", "--suite", "all", "--data", tmp_path)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    for name in ("aime24", "olympiadbench", "leetcode"):
        assert name in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.timeout(1200)  # three servers are started one after the other
@pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed")
def test_all_suites_on_real_vllm_servers_killed_and_gone_on_with(tmp_path) -> None:
    """Random weights, nine benchmarks, one server; killed in the middle, the second server gives the same result."""
    data = write_code_files(tmp_path / "data" / "code")
    shutil.copytree(steerctl.__path__[0] + "/assets/benchmarks", data.parent / "math")
    model = write_toy_model(tmp_path / "model", hidden_size=128, max_position_embeddings=2048)
    generator = "{kind: vllm, cpu_threads: 1, startup_timeout: 240.0, parity_tokens: 64, max_in_flight: 8}"
    arguments = ("--model", model, "--suite", "all", "--data", data.parent, "--samples", 2, "-q",
                 "evaluation.max_tokens=8", f"rollout.generator={generator}")  # fmt: skip
    kill_after(start(*arguments, "--out", tmp_path / "killed", slow=True), tmp_path / "killed", 4)
    done = run(*arguments, "--out", tmp_path / "killed")
    assert done.returncode == 0, done.stderr
    assert run(*arguments, "--out", tmp_path / "alone").returncode == 0
    killed = (tmp_path / "killed" / "result.json").read_text()
    assert killed == (tmp_path / "alone" / "result.json").read_text()
    benchmarks = json.loads(killed)["benchmarks"]
    assert len(benchmarks) == 9
    assert benchmarks["humaneval_plus"]["sandbox"] == "bubblewrap"
    assert all(each["samples"] == 2 for each in benchmarks.values())


@pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed")
def test_saved_programs_are_run_and_a_right_one_counts(tmp_path) -> None:
    """Of three small code benchmarks: the reference solution, and a program that says it equals everything."""
    data = write_code_files(tmp_path / "data")
    plan = make_evaluation(EvaluationRequest("tiny", {"suite": "code", "folder": str(data), "samples": 1}))
    liar = "class Yes:\n    def __eq__(self, other):\n        return True\n"
    groups = []
    for problem in (each for questions in plan.questions for each in questions.problems):
        entry = problem.info["entry_point"].removeprefix("Solution().")
        lie = f"{liar}class Solution:\n    def {entry}(self, **_):\n        return Yes()\n"
        lie += f"def {entry}(*_):\n    return Yes()\n"
        one = group(problem.id, (0.0, 0.0))
        texts = (f"```python\n{problem.gold}\n```", f"```python\n{lie}\n```")
        answered = tuple(replace(each, text=text) for each, text in zip(one.rollouts, texts, strict=True))
        groups.append(replace(one, rollouts=answered))
    kept(tmp_path / "saved", groups, 2)
    file = tmp_path / "saved" / "samples" / "test.parquet"
    asked = EvaluationRequest(
        None, {"suite": "code", "folder": str(data)}, (), from_rollouts=file, out=tmp_path / "out"
    )
    found = evaluated(asked)["benchmarks"]
    assert [each["accuracy"]["value"] for each in found.values()] == [0.5, 0.5, 0.5]
    assert [each["majority_at"] for each in found.values()] == [{}, {}, {}]
