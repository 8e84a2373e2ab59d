"""What every kind does to entropy in the tiny world, against plain GRPO at equal seed -> runs.csv, effects.csv.

    python experiments/interventions/measure.py                  # every kind that has no current row, then effects.csv
    python experiments/interventions/measure.py steer kl         # these alone
    python experiments/interventions/measure.py --again steer    # measured already, but its code has changed

Every run is base.yaml with one kind at its defaults: an item of algorithm.interventions, or algorithm.loss, or
algorithm.advantage. NAME.yaml beside this file, which extends base.yaml, stands for the kind NAME where defaults do not
do, and for what is no plug-in at all, such as a way of sampling.

A run that is in runs.csv is not repeated, unless its settings, base.yaml or the embedded policy are others now. Pairs
must come from one machine and one version of the trainer: GRPO with seed 1 is run first every time, and if it is not
what runs.csv says to the last digit, everything is measured anew. Changed code of one kind is not noticed (--again).
One process, one run at a time; it may be stopped at any moment and goes on where it was.

entropy   mean of policy/entropy/mean over the last four of the twelve steps, nats: the sampling policy at its states
accuracy  mean of accuracy/mean over them: verdicts, whatever a kind makes of the rewards
effect    run − GRPO at equal seed; its mean over the seeds with the 95% interval of Student's t
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import math
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
BASE, RUNS = HERE / "base.yaml", HERE / "runs.csv"
EFFECTS = ROOT / "steerctl" / "assets" / "effects.csv"
POLICY = ROOT / "steerctl" / "assets" / "tiny_policy" / "model.safetensors"
SETTING = {"intervention": "algorithm.interventions.0", "loss": "algorithm.loss", "advantage": "algorithm.advantage"}
BASELINE = "grpo"
LAST_STEPS = 4
T_975 = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 7: 2.447, 8: 2.365}
"""Student's t at 97.5% by number of seeds."""


@dataclass(frozen=True)
class Case:
    """What is measured: a plug-in's room and kind, or room "spec" and a file of its own."""

    room: str
    kind: str

    @property
    def arguments(self) -> list[str]:
        """The experiment and its overrides."""
        own = HERE / f"{self.kind}.yaml"
        if own.is_file():
            return [str(own)]
        return [str(BASE), *([] if self.kind == BASELINE else [f"{SETTING[self.room]}={{kind: {self.kind}}}"])]


@dataclass(frozen=True)
class Run:
    """A finished run, one line of runs.csv."""

    room: str
    kind: str
    seed: int
    settings: str
    entropy: float
    accuracy: float
    seconds: float
    date: str


@dataclass(frozen=True)
class Effect:
    """One line of effects.csv."""

    room: str
    kind: str
    seeds: int
    entropy: float
    entropy_difference: float
    entropy_low: float
    entropy_high: float
    accuracy: float
    accuracy_difference: float
    accuracy_low: float
    accuracy_high: float
    date: str
    command: str


def cases() -> list[Case]:
    """GRPO, every plug-in of three rooms but the baseline's own, and the files beside this one that are no plug-in."""
    from steerctl.plugins import registry  # noqa: PLC0415 (after the thread count is set)

    baseline = {"loss": "ppo_clip", "advantage": BASELINE}
    found = [Case(room, kind) for room in SETTING for kind in registry(f"steerctl.{room}")]
    found = [case for case in found if baseline.get(case.room) != case.kind]
    kinds = {case.kind for case in found}
    extra = [Case("spec", path.stem) for path in sorted(HERE.glob("*.yaml")) if path.stem not in {"base", *kinds}]
    return [Case("advantage", BASELINE), *found, *extra]


def settings_digest(case: Case) -> str:
    """Changes with whatever decides the run but the seed and the code: base.yaml, own settings, the embedded policy."""
    from steerctl.spec.load import load_spec  # noqa: PLC0415 (after the thread count is set)

    path, *overrides = case.arguments
    spec = load_spec(path, overrides).spec
    algorithm = spec.algorithm
    part = {"intervention": algorithm.interventions, "loss": [algorithm.loss], "advantage": [algorithm.advantage]}
    own = json.dumps([each.model_dump(mode="json") for each in (spec.data, *part.get(case.room, []))]).encode()
    return hashlib.sha256(
        b"\0".join([BASE.read_bytes(), Path(path).read_bytes(), own, POLICY.read_bytes()])
    ).hexdigest()[:12]


def measure(case: Case, seed: int, settings: str) -> Run:
    """Train in a process of its own, forked so that nothing is imported twice. Raises RuntimeError if it fails."""
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        process = multiprocessing.get_context("fork").Process(target=_train, args=(case.arguments, seed, folder))
        process.start()
        process.join()
        if process.exitcode != 0:
            raise RuntimeError(f"{case.room} {case.kind}, seed {seed}: exit code {process.exitcode}")
        lines = [json.loads(line) for line in (Path(folder) / "run" / "metrics.jsonl").read_text().splitlines()]
    last = lines[-LAST_STEPS:]
    means = [statistics.fmean(line[key] for line in last) for key in ("policy/entropy/mean", "accuracy/mean")]
    seconds = time.perf_counter() - start
    return Run(case.room, case.kind, seed, settings, *means, round(seconds, 1), time.strftime("%Y-%m-%d"))


def _train(arguments: list[str], seed: int, folder: str) -> None:
    from steerctl.cli._display import display  # noqa: PLC0415 (imported by the parent already)
    from steerctl.run.experiment import TrainRequest, run_experiment  # noqa: PLC0415

    path, *overrides = arguments
    with (Path(folder) / "out.txt").open("w") as out:
        os.dup2(out.fileno(), sys.stdout.fileno())
        request = TrainRequest(
            path, (*overrides, f"seed={seed}", f"output={folder}", "name=run"), None, overwrite=False
        )
        try:
            code = run_experiment(request, lambda: display(quiet=True))
        except Exception:  # noqa: BLE001 (the parent counts it as failed and goes on)
            traceback.print_exc()
            code = 1
    os._exit(code)  # without the parent's exit handlers


def effects(runs: list[Run], every: list[Case]) -> list[Effect]:
    """Paired differences to the baseline's current runs, of kinds with at least two seeds; others are left out."""
    measured = {(run.room, run.kind) for run in runs}
    current = {(each.room, each.kind): settings_digest(each) for each in every if (each.room, each.kind) in measured}
    valid = [run for run in runs if run.settings == current.get((run.room, run.kind))]
    baseline = {run.seed: run for run in valid if run.kind == BASELINE}
    found = []
    for room, kind in current:
        pairs = [(run, baseline[run.seed]) for run in valid if (run.room, run.kind) == (room, kind)]
        pairs = [pair for pair in pairs if pair[0].kind != BASELINE]
        if len(pairs) < 2:
            continue
        found.append(_effect(room, kind, pairs))
    return found


def _effect(room: str, kind: str, pairs: list[tuple[Run, Run]]) -> Effect:
    def three(value: Callable[[Run], float]) -> list[float]:
        differences = [value(run) - value(plain) for run, plain in pairs]
        mean = statistics.fmean(differences)
        half = T_975[len(pairs)] * statistics.stdev(differences) / math.sqrt(len(pairs))
        return [
            round(number, 5)
            for number in (statistics.fmean(value(run) for run, _ in pairs), mean, mean - half, mean + half)
        ]

    return Effect(
        room,
        kind,
        len(pairs),
        *three(lambda run: run.entropy),
        *three(lambda run: run.accuracy),
        max(run.date for run, _ in pairs),
        f"python experiments/interventions/measure.py {kind}",
    )


def read_runs() -> list[Run]:
    """Every line of runs.csv."""
    if not RUNS.is_file():
        return []
    with RUNS.open(newline="") as file:
        lines: list[Mapping[str, str]] = list(csv.DictReader(file))
    types = {"seed": int, "entropy": float, "accuracy": float, "seconds": float}
    return [Run(**{key: types.get(key, str)(value) for key, value in line.items()}) for line in lines]


def write(path: Path, rows: Iterable[Run] | Iterable[Effect], kind: type[Run | Effect]) -> None:
    """The file as a whole, in one move."""
    part = path.with_suffix(".part")
    with part.open("w", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(kind)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)
    part.replace(path)


def chosen(names: list[str], every: list[Case]) -> list[Case]:
    """The cases of these names, the baseline first."""
    unknown = set(names) - {case.kind for case in every}
    if unknown:
        raise SystemExit(f"no such kind: {', '.join(sorted(unknown))}")
    return [case for case in every if not names or case.kind in names or case.kind == BASELINE]


def current_runs(settings: str) -> list[Run]:
    """The lines of runs.csv that this machine and this code can be compared with: all, or none."""
    runs = read_runs()
    first = next((run for run in runs if (run.kind, run.seed) == (BASELINE, 1)), None)
    if first is None:
        return []
    again = measure(Case("advantage", BASELINE), 1, settings)
    if (again.entropy, again.accuracy) == (first.entropy, first.accuracy):
        return runs
    print(f"GRPO with seed 1 now ends at entropy {again.entropy}, not {first.entropy}: all runs are measured anew")
    return [again]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", help="all, if none is named")
    parser.add_argument("--seeds", type=int, default=3, help="1 to this")
    parser.add_argument("--again", action="store_true", help="measure the named kinds anew")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    import steerctl.run.experiment  # noqa: PLC0415, F401 (after the thread count is set; the forks inherit it)

    failed, every = [], cases()
    chosen_cases = chosen(options.kinds, every)
    runs = current_runs(settings_digest(every[0]))
    if options.again:
        runs = [run for run in runs if run.kind not in options.kinds]
    for case, seed in ((case, seed) for case in chosen_cases for seed in range(1, options.seeds + 1)):
        key = (case.room, case.kind, seed)
        settings = settings_digest(case)
        if any((run.room, run.kind, run.seed) == key and run.settings == settings for run in runs):
            continue
        try:
            run = measure(case, seed, settings)
        except RuntimeError as error:
            failed.append(str(error))
            print(error, flush=True)
            continue
        runs = [*(each for each in runs if (each.room, each.kind, each.seed) != key), run]
        write(RUNS, runs, Run)
        write(EFFECTS, effects(runs, every), Effect)
        print(
            f"{run.kind} seed {seed}: entropy {run.entropy:.4f}, accuracy {run.accuracy:.4f}, {run.seconds} s",
            flush=True,
        )
    write(EFFECTS, effects(runs, every), Effect)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
