"""The first two steps of the paper-scale experiments at full batch shape, with a shrunken model, on one core.

    python -m experiments.paper.first_steps                      # one variant of each sweep
    python -m experiments.paper.first_steps sweep_7b:kl_cov      # these

512 problems x 8 responses and 16 updates, the reward, the estimator, the loss and the interventions are the spec's
own. Shrunken are the model (the embedded architecture, fresh weights), the responses (64 tokens), the machine (one
rank on a CPU, the embedded generator) and what is measured beside training (no benchmarks, no validation). Fresh
weights are never right, so the length penalty makes rewards differ. Problems are the spec's own where its file is in
`data`, in STEERCTL_SHARED_DATA or in shared/data beside the repository, else seeded arithmetic.

Writes first_steps.csv and a table in the README, beside this file: metrics of the last step, seconds, peak memory.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

from experiments.figures import studies
from steerctl.spec.experiment import ExperimentSpec
from steerctl.spec.load import dump_spec
from steerctl.store.record import RunRecord
from steerctl.sweep.command import plan_sweep

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
RUNS = ROOT / "runs" / "first_steps"
RESULT = HERE / "first_steps.csv"
STEPS = 2
EXAMPLES: Final = (
    "sweep_7b:steer_paper_v4", "sweep_7b:extreme_entropy_bonus", "sweep_sizes:clip_cov-14b",
    "sweep_code:steer_paper_v4-7b",
)  # fmt: skip
"""Of table 3 and figures 12 and 17, of table 6, of tables 4 and 12, of table 5."""
PLACES: Final = ("DAPO-Math-17k.parquet", "LeetCodeDataset-v0.2.0-train.jsonl.gz")
ARITHMETIC: Final[dict[str, Any]] = {"kind": "arithmetic", "count": 4096}
SHRUNKEN: Final[dict[str, Any]] = {
    "steps": STEPS,
    "validate_every": 0,
    "policy": {"model": "tiny", "random_weights": True},
    "engine": {"device": "cpu", "zero_stage": 0, "micro_batch_tokens": 8192},
    "checkpoint": {"every": 1000, "export": False},
    "log": {"rollouts_every": 0, "entropy_after_every": 0},
    "evaluation": None,
}
LENGTH, PENALISED = 64, 48
COLUMNS = ("step", "reward/mean", "policy/entropy/mean", "clip/high/fraction", "weight/mean", "batch/tokens/count")

ASIDE: Final = ("step", "clip/high/fraction", "weight/mean")
"""Columns that the page leaves out."""


def data_file(name: str) -> Path | None:
    """A file of the paper's problems, wherever it lies."""
    shared = os.environ.get("STEERCTL_SHARED_DATA")
    places = [ROOT / "data", *([Path(shared)] if shared else []), ROOT.parent / "shared" / "data"]
    return next((path for place in places for path in sorted(place.glob(f"**/{name}"))), None)


def shrunken(spec: ExperimentSpec, name: str, *, arithmetic: bool = False) -> ExperimentSpec:
    """The experiment with everything small but its batch and its algorithm."""
    found = spec.model_dump(mode="json") | SHRUNKEN | {"name": name, "output": str(RUNS)}
    asked: dict[str, Any] = found["data"] | {"validation": None}
    which = PLACES[int(asked["train"]["kind"] == "leet_code")]
    path = None if arithmetic else data_file(which)
    asked["train"] = ARITHMETIC if path is None else {**asked["train"], "path": str(path)}
    found["data"] = asked
    found["rollout"] |= {"generator": {"kind": "embedded"}, "max_tokens": LENGTH}
    found["reward"] |= {"overlong": {"cache_tokens": PENALISED}}
    if path is None:
        found["reward"]["verifier"] = {"kind": "arithmetic"}
    return ExperimentSpec.model_validate_json(json.dumps(found))


def run(target: str, *, arithmetic: bool) -> dict[str, object]:
    """Train one; its row. Raises SystemExit where training fails."""
    file, _, variant = target.partition(":")
    agenda = plan_sweep(str(HERE / f"{file}.yaml"))
    full = next((each.spec for each in agenda.variants if each.name == variant), None)
    if full is None:
        raise SystemExit(f"{target}: no such variant; there are {', '.join(each.name for each in agenda.variants)}")
    spec = shrunken(full, f"{file}-{variant}", arithmetic=arithmetic)
    RUNS.mkdir(parents=True, exist_ok=True)
    path = RUNS / f"{spec.name}.json"
    path.write_text(dump_spec(spec), encoding="utf-8")
    begun = time.monotonic()
    command = [sys.executable, "-m", "steerctl", "train", str(path), "--overwrite"]
    process = subprocess.Popen(command, cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"})
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{target}: training ended with {os.waitstatus_to_exitcode(status)}; see {RUNS / spec.name}")
    lines = RunRecord(RUNS / spec.name).read_metrics()
    return _row(target, spec, lines[-1], used, time.monotonic() - begun)


def _row(
    target: str, spec: ExperimentSpec, last: dict[str, float], used: resource.struct_rusage, seconds: float
) -> dict[str, object]:
    shape = {
        "target": target, "problems": spec.data.train.kind, "problems_per_step": spec.rollout.problems_per_step,
        "group_size": spec.rollout.group_size, "updates_per_step": spec.optim.updates_per_step,
    }  # fmt: skip
    found = {key: f"{last[key]:.5g}" for key in COLUMNS if key in last}
    cost = {
        "seconds": f"{seconds:.0f}", "cpu_seconds": f"{used.ru_utime + used.ru_stime:.0f}",
        "peak_gib": f"{used.ru_maxrss / 2**20:.2f}",
    }  # fmt: skip
    return {**shape, **found, **cost}


def write(rows: list[dict[str, object]], path: Path) -> None:
    """Rows of other targets that are there stay."""
    kept: list[dict[str, object]] = []
    if path.is_file():
        with path.open(encoding="utf-8", newline="") as file:
            kept = [dict(row) for row in csv.DictReader(file) if row["target"] not in {each["target"] for each in rows}]
    merged = sorted([*kept, *rows], key=lambda row: str(row["target"]))
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n", restval="", extrasaction="ignore")
        writer.writeheader()
        writer.writerows(merged)


def shown(path: Path) -> str:
    """The rows of a file as Markdown."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    titles = [key for key in rows[0] if key not in ASIDE]
    lines = ["| " + " | ".join(titles) + " |", "|---|---|" + "---:|" * (len(titles) - 2)]
    return "\n".join([*lines, *("| " + " | ".join(row[key] for key in titles) + " |" for row in rows)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", metavar="SWEEP:VARIANT", help=f"{', '.join(EXAMPLES)} if not said")
    parser.add_argument("--arithmetic", action="store_true", help="seeded arithmetic, whatever files there are")
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args()
    os.chdir(ROOT)
    for target in options.targets or EXAMPLES:
        row = run(target, arithmetic=options.arithmetic)
        write([row], options.out)
        if options.out == RESULT:
            studies.write_result(HERE, "first_steps", shown(RESULT), shown=shown(RESULT))
        print(", ".join(f"{key} {value}" for key, value in row.items()), flush=True)


if __name__ == "__main__":
    main()
