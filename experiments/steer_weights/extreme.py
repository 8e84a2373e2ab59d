"""Figure 15: STEER's token weight against the entropy change, at the extreme clip 0.99/5.

    python -m experiments.steer_weights.extreme            # trains what is missing; SCALE=paper for the 7B
    python -m experiments.steer_weights.extreme --drawn    # draws what is there

measured  |H after one optimiser step − H before it| at the token's state, nats; 512 tokens of every third update
foretold  |Ω|, nats per unit step: what the weight is made of
interval  95 %, Student's t over seeds
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from experiments.figures import studies
from experiments.figures.seed_curves import (
    Curves,
    by_variant,
    difference,
    draw_lines,
    end_of,
    legend_on,
    line_style,
    mean_of,
)
from experiments.figures.studies import Interval
from experiments.steer_weights.tokens import Tokens, all_of, mean_weight, rank_correlation
from steerctl.report.canvas import drawing

HERE = Path(__file__).resolve().parent
SEEDS = (1, 2, 3)
ENTROPY, WEIGHT = "policy/entropy/mean", "weight/mean"
LABELS = {"grpo": "GRPO, clip 0.2/0.2", "extreme_grpo": "GRPO, clip 0.99/5", "extreme_steer": "STEER, clip 0.99/5"}
EDGES = np.logspace(-6, 0, 25)
CENTRES = np.sqrt(EDGES[1:] * EDGES[:-1])
KINDS = {"foretold": "|Ω| foretold (nats per unit step)", "measured": "|ΔH| measured (nats)"}
DAMPED = 0.95
"""Tokens below this weight are called damped in the sentence."""


def binned(tokens: dict[int, Tokens], kind: str) -> np.ndarray:
    """Mean weight per bin of `kind`, [S, bins]."""
    return np.stack([mean_weight(getattr(each, kind), each.weight, EDGES) for each in tokens.values()])


def draw_bins(axes: Axes, tokens: dict[int, Tokens]) -> None:
    """Mean weight over the change, with its interval over seeds."""
    for index, (kind, label) in enumerate(KINDS.items(), start=3):
        values_SB = binned(tokens, kind)
        whole = ~np.isnan(values_SB).any(axis=0)
        found = [Interval.of(values_SB[:, place].tolist()) for place in np.flatnonzero(whole)]
        low_high = [[each.mean - each.low for each in found], [each.high - each.mean for each in found]]
        style = line_style(index) | {"capsize": 2.0, "elinewidth": 0.9, "label": label}
        axes.errorbar(CENTRES[whole], [each.mean for each in found], yerr=low_high, **style)
    axes.set_xscale("log")
    axes.set_xlabel("entropy change of the token's state")
    axes.set_ylabel("mean weight λ")
    legend_on(axes, columns=1)


def draw(entropy: Curves, weight: Curves, tokens: dict[int, Tokens], out: Path) -> None:
    """Weight over the change, weight over the steps, entropy over the steps."""
    with drawing(out / "fig15.svg", out / "fig15.png", width=10.6, height=4.2) as figure:
        left, middle, right = figure.subplots(1, 3)
        draw_bins(left, tokens)
        draw_lines(middle, {"extreme_steer": weight["extreme_steer"]}, {"extreme_steer": "STEER"}, first_style=2)
        middle.set_ylabel("mean weight of a step's tokens")
        draw_lines(right, entropy, LABELS)
        right.set_ylabel("entropy (nats per token)")
        right.set_ylim(bottom=0)
        legend_on(right, columns=1)


def sentence(entropy: Curves, tokens: dict[int, Tokens]) -> str:
    """The result in one sentence."""
    own = entropy["extreme_steer"]
    damped = [each.weight < DAMPED for each in tokens.values()]
    share = Interval.of([float(which.mean()) for which in damped])
    moved = [
        float(each.measured[which].mean() / each.measured[~which].mean())
        for each, which in zip(tokens.values(), damped, strict=True)
    ]
    ranks = {
        kind: Interval.of([rank_correlation(each.weight, getattr(each, kind)) for each in tokens.values()])
        for kind in KINDS
    }
    curve = difference(mean_of(own), mean_of(entropy["extreme_grpo"]))
    end = difference(end_of(own), end_of(entropy["extreme_grpo"]))
    return (
        f"At clip 0.99/5 the weight's rank correlation with the change is {ranks['foretold']} for the foretold |Ω| and "
        f"{ranks['measured']} for the measured |ΔH|; tokens below weight {DAMPED} ({100 * share.mean:.1f} % of all) "
        f"change {Interval.of(moved).mean:.1f} times as much as the others (interval "
        f"{Interval.of(moved).low:.1f} to {Interval.of(moved).high:.1f}); STEER's entropy less GRPO's at the same clip "
        f"is {curve} nats over the run and {end} at its end ({len(own)} seeds, paired, 95 % interval).\n"
    )


def csv_rows(tokens: dict[int, Tokens]) -> list[dict[str, object]]:
    """A row per bin and kind of change, seeds side by side."""
    rows: list[dict[str, object]] = []
    for kind in KINDS:
        values_SB = binned(tokens, kind)
        for place, (low, high) in enumerate(pairwise(EDGES)):
            line: dict[str, object] = {"change": kind, "from": float(low), "to": float(high)}
            line |= {
                f"mean_weight_seed{seed}": float(value) for seed, value in zip(tokens, values_SB[:, place], strict=True)
            }
            rows.append(line)
    return rows


def main() -> None:
    variants = [studies.GRPO, *(HERE / f"{name}.yaml" for name in ("extreme_grpo", "extreme_steer"))]
    planned, out = studies.have(HERE, __doc__, variants, SEEDS)
    found = studies.collect(planned, (ENTROPY, WEIGHT, "clip/high/fraction", "clip/low/fraction"))
    entropy, weight = by_variant(found, ENTROPY), by_variant(found, WEIGHT)
    tokens = all_of(each for each in planned if each.variant.stem == "extreme_steer")["extreme_steer"]
    draw(entropy, weight, tokens, out)
    studies.write_rows(out / "fig15.csv", csv_rows(tokens))
    studies.write_rows(out / "fig15_steps.csv", found)
    text = sentence(entropy, tokens)
    studies.write_result(out, "fig15", text)
    print(text, end="")


if __name__ == "__main__":
    main()
