"""The measured effects: the file that is kept, and how a line of it reads."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from scipy import stats

from steerctl.plugins import registry
from steerctl.spec.effects import EFFECTS, effect_of, read_effects

RUNS = Path(__file__).resolve().parents[2] / "experiments" / "interventions" / "runs.csv"
HEADER = (
    "room,kind,seeds,entropy,entropy_difference,entropy_low,entropy_high,"
    "accuracy,accuracy_difference,accuracy_low,accuracy_high,date,command\n"
)


def test_a_line(tmp_path: Path) -> None:
    path = tmp_path / "effects.csv"
    path.write_text(HEADER + "loss,x,3,0.2,-0.0312,-0.05,0.0004,0.5,0.1,-0.2,0.4,2026-01-02,measure.py x\n")
    (effect,) = read_effects(path).values()
    assert (effect.entropy, effect.accuracy) == ("−0.031 [−0.050, +0.000]", "+0.100 [−0.200, +0.400]")
    assert effect.sentence.endswith("3 seeds (2026-01-02; measure.py x)")


def test_without_the_file(tmp_path: Path) -> None:
    assert read_effects(tmp_path / "absent.csv") == {}


def test_the_file_that_is_kept() -> None:
    effects = read_effects()
    assert effect_of("intervention", "steer") is not None
    for room, kind in effects:
        assert room == "spec" or kind in registry(f"steerctl.{room}")
    with EFFECTS.open(newline="") as file:
        for line in csv.DictReader(file):
            for name in ("entropy", "accuracy"):
                low, mean, high = (float(line[f"{name}_{part}"]) for part in ("low", "difference", "high"))
                assert low <= mean <= high
            assert 0 <= float(line["accuracy"]) <= 1
            assert float(line["entropy"]) > 0


def test_they_follow_from_the_runs_that_are_kept() -> None:
    with RUNS.open(newline="") as file:
        runs = {(line["room"], line["kind"], int(line["seed"])): line for line in csv.DictReader(file)}
    with EFFECTS.open(newline="") as file:
        for line in csv.DictReader(file):
            own = {
                seed: run for (room, kind, seed), run in runs.items() if (room, kind) == (line["room"], line["kind"])
            }
            assert len(own) == int(line["seeds"])
            for name in ("entropy", "accuracy"):
                gaps = [float(run[name]) - float(runs["advantage", "grpo", seed][name]) for seed, run in own.items()]
                mean, error = np.mean(gaps), stats.sem(gaps)
                half = stats.t.ppf(0.975, len(gaps) - 1) * error
                expected = [mean, mean - half, mean + half]
                written = [float(line[f"{name}_{part}"]) for part in ("difference", "low", "high")]
                np.testing.assert_allclose(written, expected, atol=2e-5, rtol=1e-3)
