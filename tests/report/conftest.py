"""Two small runs to look at."""

import json
import math

import pytest

from steerctl.store.folder import RunFolder


def spec(name, interventions):
    return json.dumps(
        {"name": name, "steps": 12, "algorithm": {"interventions": interventions}, "log": {"wandb": name}}
    )


@pytest.fixture
def pair(tmp_path):
    records = []
    for name, decay, interventions in (("grpo", 4.0, []), ("steer", 40.0, [{"kind": "steer", "weight_min": 0.6}])):
        path = tmp_path / "runs" / name
        environment = {"run_id": name, "created": "2026-01-02T03:04:05+00:00", "command": ["steerctl", "train"]}
        with RunFolder.create(path, spec(name, interventions), environment=environment) as run:
            run.append_metrics(0, {"validation/accuracy/mean": 0.25})
            for step in range(1, 13):
                entropy = math.exp(-step / decay)
                line = {
                    "reward/mean": step / 100, "policy/entropy/mean": entropy, "policy/entropy_after/mean": entropy / 2,
                    "clip/high/fraction": 0.01 * (step % 2), "clip/low/fraction": 0.0, "time/step/seconds": 1.5,
                }  # fmt: skip
                if step == 12:
                    line["validation/accuracy/mean"] = 0.75
                run.append_metrics(step, line)
            run.set_status("finished", 12)
        records.append(RunFolder.read(path))
    return records
