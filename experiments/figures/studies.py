"""Variants × seeds for the figures that need training: what is missing is trained, the rest is read.

A variant is an experiment file whose chain of `extends` ends in tiny.yaml, beside this file. Scale `tiny` trains it as
it stands; scale `paper` trains what the chain says above tiny.yaml over experiments/paper/base.yaml.

Runs lie in runs/figures/SCALE/NAME-seedN, NAME being the variant's own; studies that name the same variant share them.
A finished run is not trained again unless its settings are others now; stopped at any moment, a study goes on where it
was. Changed code is not noticed: delete the folder. One run at a time, in a process forked from this one.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import multiprocessing
import os
import statistics
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import yaml

from steerctl.errors import RunFolderError
from steerctl.spec.load import LoadedSpec, load_resolved, load_spec
from steerctl.store.record import RunRecord

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
RUNS = ROOT / "runs" / "figures"
TINY = HERE / "tiny.yaml"
Scale = Literal["tiny", "paper"]
BASES: dict[Scale, Path] = {"tiny": TINY, "paper": ROOT / "experiments" / "paper" / "base.yaml"}
GRPO = HERE / "grpo.yaml"
"""Plain GRPO, the variant that every study shares."""
T_975 = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 7: 2.447, 8: 2.365, 9: 2.306, 10: 2.262}
"""Student's t at 97.5 % by number of values."""


def scale_asked() -> Scale:
    """The environment's SCALE, `tiny` if it is not set. Raises SystemExit for any other word."""
    words: dict[str, Scale] = {scale: scale for scale in get_args(Scale)}
    asked = os.environ.get("SCALE", "tiny")
    if asked not in words:
        raise SystemExit(f"SCALE={asked}: choose one of {', '.join(words)}")
    return words[asked]


def have(study: Path, doc: str | None, variants: Iterable[Path], seeds: Sequence[int]) -> tuple[list[Planned], Path]:
    """A study's command line: train what is missing, unless it says not to -> the runs, and where figures go."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--drawn", action="store_true", help="train nothing; draw what is there")
    parser.add_argument("--out", type=Path, help="for the figures; else here, or beside the runs if SCALE is not tiny")
    options, scale = parser.parse_args(), scale_asked()
    planned = plan(variants, seeds, scale)
    if not options.drawn:
        train_missing(planned)
    out: Path = options.out or (study if scale == "tiny" else RUNS / scale / study.name)
    out.mkdir(parents=True, exist_ok=True)
    return planned, out


@dataclass(frozen=True, slots=True)
class Planned:
    """One run to be had: a variant, its seed, the scale."""

    variant: Path
    seed: int
    scale: Scale = "tiny"

    @property
    def arguments(self) -> tuple[str, ...]:
        """What `steerctl train` is given: an experiment file and overrides."""
        file, above = (self.variant, []) if self.scale == "tiny" else (BASES[self.scale], list(_above(self.variant)))
        name = load_spec(self.variant).spec.name
        return (str(file), *above, f"seed={self.seed}", f"output={RUNS / self.scale}", f"name={name}-seed{self.seed}")

    def load(self) -> LoadedSpec:
        """The experiment as it would be trained."""
        file, *overrides = self.arguments
        return load_spec(file, overrides)

    def finished(self) -> RunRecord | None:
        """The run, if it is there, finished, and of these settings."""
        spec = self.load().spec
        try:
            record = RunRecord(Path(spec.output) / spec.name)
            whole = record.status.state == "finished" and load_resolved(record.spec_json) == spec
        except RunFolderError:
            return None
        return record if whole else None


def _above(variant: Path) -> Iterator[str]:
    """What the chain of `extends` says above tiny.yaml, as overrides; the variant's own come last."""
    data: dict[str, Any] = dict(yaml.safe_load(variant.read_text(encoding="utf-8")))
    below = (variant.parent / data.pop("extends")).resolve()
    if below != TINY:
        yield from _above(below)
    yield from (f"{key}={json.dumps(value)}" for key, value in data.items() if key != "name")


def plan(variants: Iterable[Path], seeds: Sequence[int], scale: Scale) -> list[Planned]:
    """Every variant with the first seed, then with the next: a study cut short has whole pairs."""
    listed = list(variants)
    return [Planned(variant, seed, scale) for seed in seeds for variant in listed]


def train_missing(planned: Sequence[Planned]) -> None:
    """Train what is not finished, a line per run. Raises SystemExit at the first that fails, with where to look."""
    missing = [each for each in planned if each.finished() is None]
    if not missing:
        return
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    import steerctl.run.experiment  # noqa: F401, PLC0415 (once, for all forks)

    begun = time.monotonic()
    for number, each in enumerate(missing, start=1):
        start = time.monotonic()
        _train(each)
        now = time.monotonic()
        left = (now - begun) / number * (len(missing) - number) / 60
        name = each.arguments[-1].removeprefix("name=")
        print(f"{number}/{len(missing)} {name}: {now - start:.0f} s; about {left:.0f} min left", flush=True)


def _train(planned: Planned) -> None:
    log = RUNS / planned.scale / "output.txt"
    log.parent.mkdir(parents=True, exist_ok=True)
    process = multiprocessing.get_context("fork").Process(target=_train_here, args=(planned.arguments, log))
    process.start()
    try:
        process.join()
    except KeyboardInterrupt:
        process.join()
        raise SystemExit(130) from None
    if process.exitcode != 0:
        raise SystemExit(f"{' '.join(planned.arguments)}: exit code {process.exitcode}; see {log}")


def _train_here(arguments: tuple[str, ...], log: Path) -> None:
    from steerctl.cli._display import display  # noqa: PLC0415 (imported by the parent already)
    from steerctl.run.experiment import TrainRequest, run_experiment  # noqa: PLC0415

    with log.open("w", encoding="utf-8") as out:
        os.dup2(out.fileno(), sys.stdout.fileno())
        os.dup2(out.fileno(), sys.stderr.fileno())
    sys.argv = ["steerctl", "train", *arguments, "--overwrite"]  # what a launcher of several ranks passes on
    file, *overrides = arguments
    code = run_experiment(TrainRequest(file, tuple(overrides), None, overwrite=True), lambda: display(quiet=True))
    sys.stdout.flush()
    os._exit(code)  # without the parent's exit handlers


def steps_of(record: RunRecord) -> list[dict[str, float]]:
    """The run's metrics, a line per training step."""
    return [line for line in record.read_metrics() if line["step"] > 0]


def collect(planned: Sequence[Planned], keys: Sequence[str]) -> list[dict[str, object]]:
    """A row per finished run and step: variant, seed, step and these metrics; runs that are missing are left out."""
    rows: list[dict[str, object]] = []
    for each in planned:
        record = each.finished()
        for line in steps_of(record) if record is not None else ():
            head = {"variant": each.variant.stem, "seed": each.seed, "step": int(line["step"])}
            rows.append(head | {key: line.get(key, math.nan) for key in keys})
    return rows


def write_rows(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """A CSV file of six significant digits; its columns are the first row's."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({key: f"{v:.6g}" if isinstance(v, float) else v for key, v in row.items()})


def write_result(out: Path, name: str, text: str, *, shown: str = "") -> None:
    """The sentence into NAME.txt, and it, or what is `shown` instead, into the folder's README between its marks."""
    (out / f"{name}.txt").write_text(text, encoding="utf-8")
    readme, begin, end = out / "README.md", f"<!-- {name}: written by the study -->", f"<!-- end of {name} -->"
    if readme.is_file():
        head, rest = readme.read_text(encoding="utf-8").split(begin)
        readme.write_text(f"{head}{begin}\n{shown or text.strip()}\n{end}{rest.split(end)[1]}", encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean over seeds with its 95 % interval (Student's t)."""

    mean: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Interval:
        """Of at least two values."""
        mean = statistics.fmean(values)
        half = T_975[len(values)] * statistics.stdev(values) / math.sqrt(len(values))
        return cls(mean, mean - half, mean + half)

    @property
    def sign(self) -> int:
        """1 or −1 where the interval leaves out 0, else 0."""
        return int(self.low > 0) - int(self.high < 0)

    def __str__(self) -> str:
        return f"{self.mean:+.3f} [{self.low:+.3f}, {self.high:+.3f}]".replace("-", "−")
