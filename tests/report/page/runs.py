"""Three methods over four seeds, small enough to look at: `steer` keeps entropy, and nothing else differs."""

import json
import math

from steerctl.store.folder import RunFolder
from steerctl.store.record import RunRecord

STEPS = 10
DECAY = {"grpo": 3.0, "steer": 30.0, "wide": 3.2}
KIND = {"steer": [{"kind": "steer", "weight_min": 0.7}]}


def spec_of(method, seed):
    loss = {"kind": "ppo_clip", "clip_ratio_high": 0.28 if method == "wide" else 0.2}
    algorithm = {"loss": loss, "interventions": KIND.get(method, [])}
    return {"name": f"{method}-seed{seed}", "seed": seed, "steps": STEPS, "algorithm": algorithm, "optim": {"lr": 1e-6}}


def line_of(method, seed, step):
    entropy = math.exp(-step / DECAY[method] / (1 + 0.02 * seed))
    reward = 0.3 + 0.02 * step + 0.01 * seed + 0.003 * ((seed * 7 + len(method) * 3 + step) % 5)
    line = {
        "reward/mean": reward, "accuracy/mean": reward, "policy/entropy/mean": entropy,
        "policy/entropy_after/mean": entropy * 0.9, "clip/high/fraction": 0.001 * seed, "clip/low/fraction": 0.0,
        "entropy_change/exact/mean": -entropy / 10, "entropy_change/measured/mean": -entropy / 5, "weight/mean": 1.0,
        "time/step/seconds": 2.0, "time/update/seconds": 1.0, "batch/tokens/count": 100.0,
    }  # fmt: skip
    return line | ({"validation/accuracy/mean": reward + 0.1} if step % 5 == 0 else {})


def write_run(folder, method, seed, *, state="finished", steps=STEPS, name=None, spec=None):
    path = folder / (name or f"{method}-seed{seed}")
    environment = {"created": f"2026-01-0{seed}T03:04:05+00:00", "command": ["steerctl"], "code": {"commit": "abc"}}
    with RunFolder.create(path, json.dumps(spec or spec_of(method, seed)), environment=environment) as run:
        run.append_metrics(0, {"validation/accuracy/mean": 0.2})
        for step in range(1, steps + 1):
            run.append_metrics(step, line_of(method, seed, step))
        run.set_status(state, steps)
    return RunRecord(path)
