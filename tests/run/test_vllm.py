"""`steerctl train` with vLLM servers: parity at every push, on one rank and two, and nothing left behind."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest

from tests.engine.toy import write_toy_model
from tests.run.command import SMALL, metrics, start, train, write_spec

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]

TOLERANCE = 1e-4


def served(**changes) -> dict:
    generator = {"kind": "vllm", "cpu_threads": 1, "startup_timeout": 240.0, "parity_tokens": 64, **changes}
    return {**SMALL["rollout"], "max_tokens": 16, "generator": generator}


def processes_that_mention(text: str) -> list[str]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            line = (entry / "cmdline").read_bytes().decode(errors="replace")
            mentions = text in line or text in (entry / "environ").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if mentions and int(entry.name) != os.getpid():
            found.append(f"{entry.name} {line}")
    return found


def test_two_ranks_and_a_tied_model_agree_with_the_server_at_every_push(tmp_path: Path) -> None:
    model = write_toy_model(tmp_path / "tied", tied=True, layers=2, hidden_size=128)
    spec = write_spec(
        tmp_path, steps=3, validate_every=0, rollout=served(), engine={"ranks": 2}, policy={"model": str(model)}
    )
    result = train(spec)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    run = tmp_path / "runs" / "small"
    lines = metrics(run)
    assert [line["step"] for line in lines] == [1, 2, 3]
    for line in lines:
        assert 0 < line["mismatch/parity/max"] < TOLERANCE
        assert line["mismatch/logprob_abs/max"] < TOLERANCE
    assert (run / "servers" / "server-0.log").is_file()


def test_one_rank_that_is_killed_leaves_no_server(tmp_path: Path) -> None:
    spec = write_spec(tmp_path, steps=1000, validate_every=0, rollout=served(transport_dir=str(tmp_path / "weights")))
    process = start(spec, STEERCTL_TEST_MARK=str(tmp_path))
    run = tmp_path / "runs" / "small"
    try:
        deadline = time.monotonic() + 240
        while time.monotonic() < deadline and process.poll() is None:
            if (run / "metrics.jsonl").is_file() and len((run / "metrics.jsonl").read_text().splitlines()) >= 3:
                break
            time.sleep(0.2)
        found = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        assert len(found) >= 3, process.communicate()[1]
        assert max(line["mismatch/parity/max"] for line in found) < TOLERANCE
        assert len(processes_that_mention(str(tmp_path))) >= 4  # trainer, guardian, server, its engine
    finally:
        os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    deadline = time.monotonic() + 20
    while processes_that_mention(str(tmp_path)) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert processes_that_mention(str(tmp_path)) == []
    assert list((tmp_path / "weights").iterdir()) == []
