"""What each method was measured to do to entropy in the tiny world, by experiments/interventions/measure.py."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

EFFECTS = Path(__file__).resolve().parents[1] / "assets" / "effects.csv"


@dataclass(frozen=True, slots=True)
class MeasuredEffect:
    """Differences to GRPO at equal seed, each as "mean [low, high]" with its 95% interval.

    entropy   nats, at the end of the run, e.g. "+0.031 [+0.002, +0.060]"
    accuracy  share of right answers, likewise
    """

    entropy: str
    accuracy: str
    seeds: int
    date: str
    command: str

    @property
    def sentence(self) -> str:
        """All of it in one line."""
        return (
            f"entropy {self.entropy} nats, accuracy {self.accuracy}, {self.seeds} seeds ({self.date}; {self.command})"
        )


def effect_of(room: str, kind: str) -> MeasuredEffect | None:
    """The effect of one method, None if it was not measured."""
    return read_effects().get((room, kind))


def read_effects(path: Path = EFFECTS) -> dict[tuple[str, str], MeasuredEffect]:
    """Every line by (room, kind); empty without the file."""
    if not path.is_file():
        return {}
    with path.open(newline="", encoding="utf-8") as file:
        return {(line["room"], line["kind"]): _effect(line) for line in csv.DictReader(file)}


def _effect(line: dict[str, str]) -> MeasuredEffect:
    entropy, accuracy = (_interval(line, name) for name in ("entropy", "accuracy"))
    return MeasuredEffect(entropy, accuracy, int(line["seeds"]), line["date"], line["command"])


def _interval(line: dict[str, str], name: str) -> str:
    mean, low, high = (float(line[f"{name}_{part}"]) for part in ("difference", "low", "high"))
    return f"{mean:+.3f} [{low:+.3f}, {high:+.3f}]".replace("-", "−")
