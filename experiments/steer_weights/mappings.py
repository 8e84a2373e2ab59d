"""Figure 16: STEER's mappings from the predicted change to a weight: exponential, linear, binary.

    python -m experiments.steer_weights.mappings            # trains what is missing; SCALE=paper for the 7B
    python -m experiments.steer_weights.mappings --drawn    # draws what is there

weights   of the first update of the first seed, in which all three have the same policy and the same tokens
end       mean of the last five steps; curve: mean of all steps
interval  95 %, Student's t over seeds; differences to GRPO are paired by seed
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from experiments.figures import studies
from experiments.figures.seed_curves import (
    Curves,
    by_variant,
    difference,
    draw_differences,
    draw_lines,
    end_of,
    legend_above,
    legend_on,
    line_style,
    mean_of,
    smoothed,
)
from experiments.figures.studies import Interval
from experiments.steer_weights.tokens import Tokens, all_of
from steerctl.report.canvas import drawing

HERE = Path(__file__).resolve().parent
SEEDS = (1, 2, 3)
ENTROPY, ACCURACY = "policy/entropy/mean", "accuracy/mean"
MAPPINGS = ("exponential", "linear", "binary")
LABELS = {"grpo": "GRPO", **{name: f"STEER, {name}" for name in MAPPINGS}}
LEAST = 1e-6
"""Smaller predictions are drawn here, nats per unit step."""


def draw_weights(axes: Axes, tokens: dict[str, Tokens]) -> None:
    """λ over |Ω|, a point per token."""
    for index, name in enumerate(MAPPINGS, start=1):
        style = line_style(index) | {"linestyle": "none", "markersize": 3.0, "alpha": 0.55, "markeredgewidth": 0}
        axes.plot(np.maximum(tokens[name].foretold, LEAST), tokens[name].weight, label=LABELS[name], **style)
    axes.set_xscale("log")
    axes.set_xlabel("predicted change |Ω| (nats per unit step)")
    axes.set_ylabel("weight λ of the token")
    axes.set_title("512 tokens of the first update; at the left edge Ω = 0", fontsize=9.5)


def draw(entropy: Curves, accuracy: Curves, tokens: dict[str, Tokens], out: Path) -> None:
    """Weights, entropy, accuracy, differences."""
    with drawing(out / "fig16.svg", out / "fig16.png", width=9.2, height=6.6) as figure:
        grid = figure.subplots(2, 2)
        draw_weights(grid[0, 0], tokens)
        draw_lines(grid[0, 1], entropy, LABELS)
        grid[0, 1].set_ylabel("entropy (nats per token)")
        grid[0, 1].set_ylim(bottom=0)
        draw_lines(grid[1, 0], smoothed(accuracy), LABELS, every=0)
        grid[1, 0].set_ylabel("accuracy, mean of five steps")
        rows = [(name, apart(entropy, name)) for name in MAPPINGS]
        draw_differences(grid[1, 1], rows, ("mean over the run", "last five steps"))
        grid[1, 1].set_xlabel("entropy less GRPO's (nats per token)")
        legend_on(grid[1, 1], columns=2)
        legend_above(figure, grid[0, 1], columns=4)


def apart(curves: Curves, name: str) -> tuple[Interval, Interval]:
    """Difference to GRPO over the curve and at the end."""
    base, own = curves["grpo"], curves[name]
    return difference(mean_of(own), mean_of(base)), difference(end_of(own), end_of(base))


def sentence(entropy: Curves, accuracy: Curves, tokens: dict[str, dict[int, Tokens]]) -> str:
    """The result in one sentence."""
    parts = []
    for name in MAPPINGS:
        curve, end = apart(entropy, name)
        weight = Interval.of([float(each.weight.mean()) for each in tokens[name].values()]).mean
        parts.append(
            f"{name} (mean weight {weight:.3f}) {curve} nats over the run, {end} at its end, accuracy "
            f"{apart(accuracy, name)[1]}"
        )
    seeds = min(len(entropy[name]) for name in LABELS)
    return f"STEER less GRPO, {seeds} seeds, paired, 95 % interval (end: last five steps): {'; '.join(parts)}.\n"


def main() -> None:
    variants = [studies.GRPO, *(HERE / f"{name}.yaml" for name in MAPPINGS)]
    planned, out = studies.have(HERE, __doc__, variants, SEEDS)
    found = studies.collect(planned, (ENTROPY, ACCURACY))
    entropy, accuracy = by_variant(found, ENTROPY), by_variant(found, ACCURACY)
    tokens = all_of(each for each in planned if each.variant != studies.GRPO)
    first = {name: tokens[name][SEEDS[0]].of_update(1, 1) for name in MAPPINGS}
    draw(entropy, accuracy, first, out)
    studies.write_rows(out / "fig16.csv", found)
    weights: list[dict[str, object]] = [
        {"mapping": name, "foretold_nats_per_unit_step": float(omega), "weight": float(weight)}
        for name, each in first.items()
        for omega, weight in zip(each.foretold, each.weight, strict=True)
    ]
    studies.write_rows(out / "fig16_weights.csv", weights)
    text = sentence(entropy, accuracy, tokens)
    studies.write_result(out, "fig16", text)
    print(text, end="")


if __name__ == "__main__":
    main()
