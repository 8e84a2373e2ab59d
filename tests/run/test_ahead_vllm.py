"""`rollout.ahead: 1` with a real vLLM server: sampled while two ranks train, pushed after it is done."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.run.command import train, write_spec
from tests.run.test_vllm import TOLERANCE, served

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]

STEPS = 3


def test_two_ranks_one_server_one_step_ahead(tmp_path: Path) -> None:
    rollout = {**served(), "max_tokens": 24, "ahead": 1, "correction": {"kind": "masked", "level": "token"}}
    spec = write_spec(tmp_path, steps=STEPS, validate_every=0, rollout=rollout, engine={"ranks": 2})
    result = train(spec)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    run = tmp_path / "runs" / "small"
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    tables = [pq.read_table(run / f"rollouts/step_{step:06d}.parquet") for step in range(1, STEPS + 1)]
    assert [set(table.column("weight_version").to_pylist()) for table in tables] == [{0}, {0}, {1}]
    assert [line["mismatch/staleness/max"] for line in lines] == [0, 1, 1]
    # Fresh weights: engine against trainer alone. A push later: what one step did, which the correction sees.
    assert lines[0]["mismatch/logprob_abs/max"] < TOLERANCE
    assert all(line["mismatch/logprob_abs/max"] > 10 * TOLERANCE for line in lines[1:])
    assert all(0.5 <= line["correction/weight/max"] <= 5 for line in lines)
    assert all(0 < line["mismatch/parity/max"] < TOLERANCE for line in lines)
    assert all(line["time/generate/seconds"] > 0 and line["time/ahead/seconds"] >= 0 for line in lines)
