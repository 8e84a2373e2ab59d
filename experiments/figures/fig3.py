"""The paper's Figure 3: the entropy change indicator δ over the token's probability and the state's entropy.

    python experiments/figures/fig3.py [--out DIR]     # fig3.svg, fig3.png, fig3.csv, fig3.txt

    v1 (Eq. 8)  δ = −π(1−π)²(log π + H)      `squared` with w = 1
    v4 (Eq. 8)  δ = −π(1−π)(log π + H)       `own_logit` with w = 1

Not every pair exists. With the token's π given, H is least when one other token has the rest, and largest when all
V − 1 share it evenly: h ≤ H ≤ h + (1−π)·log(V−1), with h the entropy of (π, 1−π). Pairs outside are hatched, and the
sentence in fig3.txt speaks of those inside. As h > −log π for π > ½, no such token can be on the rising side.
"""

from __future__ import annotations

import argparse
import csv
from dataclasses import dataclass
from math import log
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.contour import QuadContourSet
from numpy.typing import NDArray

from steerctl.entropy.change import Estimator, entropy_change
from steerctl.report.canvas import FALLS, INK, PAPER, RISES, STILL, drawing, note

HERE = Path(__file__).resolve().parent
VOCABULARY = 151_936
"""Qwen2.5-Math's output layer."""
MOST_ENTROPY = 5.0
PANELS: tuple[tuple[str, Estimator], ...] = (
    ("v1: −π(1−π)²(log π + H)", "squared"),
    ("v4: −π(1−π)(log π + H)", "own_logit"),
)
LEVELS = (-1.0, -0.6, -0.3, -0.1, -0.03, -0.01, 0.0, 0.01, 0.03, 0.1, 0.3)
MARKS = (0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999)
Grid = NDArray[np.float64]


@dataclass(frozen=True)
class Surface:
    """δ over H [rows] and π [columns], and the least and largest H that a token of each π can have."""

    probability: Grid
    entropy: Grid
    delta: dict[str, Grid]
    least: Grid
    most: Grid

    @property
    def exists(self) -> NDArray[np.bool_]:
        """Which pairs are those of some state."""
        entropy = self.entropy[:, None]
        return (entropy >= self.least) & (entropy <= self.most)


def surface(columns: int, rows: int) -> Surface:
    """π even in its logit, from 0.0005 to 0.9995; H even from 0 to `MOST_ENTROPY`."""
    end = log(0.9995 / 0.0005)
    probability = 1 / (1 + np.exp(-np.linspace(-end, end, columns)))
    entropy = np.linspace(0, MOST_ENTROPY, rows)
    pi, h = np.meshgrid(probability, entropy)
    least = -(probability * np.log(probability) + (1 - probability) * np.log1p(-probability))
    most = least + (1 - probability) * log(VOCABULARY - 1)
    logprobs, entropies = torch.from_numpy(np.log(pi)), torch.from_numpy(h)
    weight = torch.ones_like(logprobs)
    delta = {
        name: entropy_change(name, weight=weight, logprobs=logprobs, entropy=entropies).numpy() for _, name in PANELS
    }
    return Surface(probability, entropy, delta, least, most)


def write_csv(found: Surface, path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["probability", "entropy_nats", *(f"delta_{name}_nats" for _, name in PANELS), "exists"])
        for row, entropy in enumerate(found.entropy):
            for column, probability in enumerate(found.probability):
                values = [f"{found.delta[name][row, column]:.6g}" for _, name in PANELS]
                writer.writerow([f"{probability:.6g}", f"{entropy:.6g}", *values, found.exists[row, column]])


def sentence(found: Surface) -> str:
    """The result in one sentence; a formula has no interval."""
    parts = []
    for title, name in PANELS:
        delta = np.where(found.exists, found.delta[name], np.nan)
        places = [np.unravel_index(pick(delta), delta.shape) for pick in (np.nanargmin, np.nanargmax)]
        (low, at_low), (high, at_high) = (
            (delta[place], f"π = {found.probability[place[1]]:.2f}, H = {found.entropy[place[0]]:.2f}")
            for place in places
        )
        parts.append(f"{title.partition(':')[0]} from {low:.3f} ({at_low}) to {high:+.3f} ({at_high})")
    return (
        "With w = 1, δ is negative exactly where π > exp(−H), as it is for every token with π > ½; over the states "
        f"that exist with H up to {MOST_ENTROPY:g} nats it goes, in nats per unit step, {'; '.join(parts)}: the "
        "largest fall a token can cause is several times the largest rise.\n"
    )


def draw(found: Surface, folder: Path) -> None:
    falls, rises = (sum(level < 0 for level in LEVELS), sum(level > 0 for level in LEVELS))
    ends = (
        LinearSegmentedColormap.from_list("falls", (FALLS, STILL)),
        LinearSegmentedColormap.from_list("rises", (STILL, RISES)),
    )
    colours = [*ends[0](np.linspace(0, 0.85, falls)), *ends[1](np.linspace(0.2, 0.85, rises))]
    with drawing(folder / "fig3.svg", folder / "fig3.png", width=9.6, height=4.2) as figure:
        grid = figure.subplots(1, 2, sharey=True)
        for axes, (title, name) in zip(grid, PANELS, strict=True):
            filled = _panel(axes, found, name, colours)
            axes.set_title(title, fontsize=10)
            axes.set_xlabel("probability π of the sampled token")
        grid[0].set_ylabel("entropy H of its state (nats)")
        note(grid[0], "dashed: π = exp(−H)\nhatched: no such state", corner="upper right")
        bar = figure.colorbar(filled, ax=list(grid), ticks=LEVELS, pad=0.015)
        bar.set_label("δ (nats per unit step, w = 1)")
        bar.ax.set_yticklabels([f"{level:+g}".replace("-", "−") if level else "0" for level in LEVELS])


def _panel(axes: Axes, found: Surface, name: str, colours: list[NDArray[np.float64]]) -> QuadContourSet:
    axes.set_xscale("logit")
    delta = np.clip(found.delta[name], LEVELS[0] + 1e-9, LEVELS[-1] - 1e-9)
    filled = axes.contourf(found.probability, found.entropy, delta, levels=LEVELS, colors=colours)
    style = {"facecolor": PAPER, "edgecolor": "#b9b9b4", "hatch": "////", "linewidth": 1.0}
    axes.fill_between(found.probability, 0, found.least, **style)
    axes.fill_between(found.probability, np.minimum(found.most, MOST_ENTROPY), MOST_ENTROPY, **style)
    axes.plot(found.probability, -np.log(found.probability), color=INK, linewidth=1.4, linestyle=(0, (5, 3)))
    axes.set_xticks(MARKS, [f"{mark:g}" for mark in MARKS])
    axes.minorticks_off()
    axes.grid(visible=False)
    axes.set(ylim=(0, MOST_ENTROPY), xlim=(found.probability[0], found.probability[-1]))
    return filled


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=HERE)
    folder = parser.parse_args().out
    folder.mkdir(parents=True, exist_ok=True)
    draw(surface(201, 151), folder)
    write_csv(surface(61, 51), folder / "fig3.csv")
    text = sentence(surface(2001, 1001))
    (folder / "fig3.txt").write_text(text, encoding="utf-8")
    print(text, end="")


if __name__ == "__main__":
    main()
