"""Every method of this folder, three seeds each -> runs.csv and the table in README.md.

    python experiments/set_point/compare.py             # what is not in runs.csv yet, then the table
    python experiments/set_point/compare.py --table     # the table alone

One run at a time, each in a process of its own; stopped at any moment, it goes on with the runs that are missing.

deviation  mean of |policy/entropy/mean − SET_POINT| over steps 11 to 30, nats; each step has other problems, whose
           own spread is in it for every method alike
offset     mean of policy/entropy/mean over them, less SET_POINT
accuracy   verdicts on 128 validation problems, 4 samples each at temperature 1, after step 30; any: one of 4 right
cost       processor time of the run over that of GRPO at equal seed, start-up and validation included in both
intervals  95%, Student's t over the seeds
"""

from __future__ import annotations

import csv
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

HERE = Path(__file__).resolve().parent
RUNS, README = HERE / "runs.csv", HERE / "README.md"
METHODS = (
    "grpo", "steer", "opefo", "adaptive_entropy", "projection_exact", "projection_delayed", "entropy_target",
)  # fmt: skip
SEEDS = (1, 2, 3)
SET_POINT = 0.25
FIRST_STEP = 11
T_975 = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776}
BEGIN, END = "<!-- table: written by compare.py -->", "<!-- end of table -->"


@dataclass(frozen=True)
class Run:
    """A finished run, one line of runs.csv."""

    method: str
    seed: int
    deviation: float
    offset: float
    accuracy: float
    any_of_4: float
    reward_last_5: float
    cpu_seconds: float


def measure(method: str, seed: int) -> Run:
    """Train in a process of its own. Raises CalledProcessError if that fails."""
    with tempfile.TemporaryDirectory() as folder:
        overrides = [f"seed={seed}", f"output={folder}", "name=run"]
        command = [sys.executable, "-m", "steerctl", "train", str(HERE / f"{method}.yaml"), *overrides]
        before = os.times()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=HERE.parents[1])
        after = os.times()
        text = (Path(folder) / "run" / "metrics.jsonl").read_text(encoding="utf-8")
    lines = [json.loads(line) for line in text.splitlines()]
    entropies = [line["policy/entropy/mean"] for line in lines if line["step"] >= FIRST_STEP]
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return Run(
        method=method,
        seed=seed,
        deviation=statistics.fmean(abs(value - SET_POINT) for value in entropies),
        offset=statistics.fmean(entropies) - SET_POINT,
        accuracy=lines[-1]["validation/accuracy/mean"],
        any_of_4=lines[-1]["validation/accuracy/any"],
        reward_last_5=statistics.fmean(line["reward/mean"] for line in lines[-5:]),
        cpu_seconds=cpu,
    )


def read() -> list[Run]:
    if not RUNS.is_file():
        return []
    with RUNS.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [
        Run(row["method"], int(row["seed"]), *(float(row[field.name]) for field in fields(Run)[2:])) for row in rows
    ]


def append(run: Run) -> None:
    new = not RUNS.is_file()
    with RUNS.open("a", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Run)], lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerow({name: round(v, 5) if isinstance(v, float) else v for name, v in asdict(run).items()})


def interval(values: Sequence[float]) -> str:
    """Mean ± half the 95% interval."""
    mean = statistics.fmean(values)
    if len(values) < 2:
        return f"{mean:.3f}"
    return f"{mean:.3f} ± {T_975[len(values)] * statistics.stdev(values) / math.sqrt(len(values)):.3f}"


def table(runs: Sequence[Run]) -> str:
    base = {run.seed: run.cpu_seconds for run in runs if run.method == "grpo"}
    columns: dict[str, Callable[[Run], float | None]] = {
        "deviation (nats)": lambda run: run.deviation,
        "offset (nats)": lambda run: run.offset,
        "validation accuracy": lambda run: run.accuracy,
        "any of 4": lambda run: run.any_of_4,
        "cost / GRPO": lambda run: run.cpu_seconds / base[run.seed] if run.seed in base else None,
    }
    lines = ["| method | seeds | " + " | ".join(columns) + " |", "|" + "---|" * (len(columns) + 2)]
    for method in METHODS:
        own = [run for run in runs if run.method == method]
        if not own:
            continue
        found = ([value for run in own if (value := pick(run)) is not None] for pick in columns.values())
        cells = " | ".join(interval(values) if values else "" for values in found)
        lines.append(f"| {method} | {len(own)} | {cells} |")
    return "\n".join(lines)


def write_table(runs: Sequence[Run]) -> None:
    text = README.read_text(encoding="utf-8")
    head, rest = text.split(BEGIN)
    README.write_text(f"{head}{BEGIN}\n{table(runs)}\n{END}{rest.split(END)[1]}", encoding="utf-8")


def main() -> None:
    runs = read()
    done = {(run.method, run.seed) for run in runs}
    for seed in SEEDS if "--table" not in sys.argv else ():
        for method in METHODS:
            if (method, seed) not in done:
                run = measure(method, seed)
                append(run)
                runs.append(run)
                print(run, flush=True)
    if runs:
        write_table(runs)
        print(table(runs))


if __name__ == "__main__":
    main()
