"""Figure 8: the weight of right responses in W-REINFORCE, from pushing alone (NSR) to pulling alone (PSR), and GRPO.

    python -m experiments.reinforce_weight.reinforce_weight            # trains what is missing; SCALE=paper for the 7B
    python -m experiments.reinforce_weight.reinforce_weight --drawn    # draws what is there

A right response has the advantage λ, a wrong one −1 (PSR: 1 and 0), no baseline. The end is the mean of the last five
steps; intervals are 95 %, Student's t over seeds, differences paired by seed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.axes import Axes

from experiments.figures import studies
from experiments.figures.seed_curves import (
    Curves,
    by_variant,
    difference,
    draw_lines,
    end_of,
    legend_above,
    line_style,
    smoothed,
)
from experiments.figures.studies import Interval
from steerctl.report.canvas import INK, drawing

HERE = Path(__file__).resolve().parent
SEEDS = (1, 2, 3)
ENTROPY, ACCURACY = "policy/entropy/mean", "accuracy/mean"
WEIGHTS = {"weight_0": "0 (NSR)", "weight_0_1": "0.1", "weight_0_3": "0.3", "weight_1": "1", "psr": "1 and 0 (PSR)"}
"""By variant: λ as it is written at the axis, from the least pull to the most."""
LABELS = {"grpo": "GRPO"} | {stem: f"λ = {label}" for stem, label in WEIGHTS.items()}


def draw_ends(axes: Axes, curves: Curves, stems: Sequence[str]) -> None:
    """The end of every weight less GRPO's at equal seed, with its interval."""
    axes.axhline(0, color=INK, linewidth=1.2, linestyle=(0, (4, 3)))
    for place, stem in enumerate(stems):
        found = difference(end_of(curves[stem]), end_of(curves["grpo"]))
        style = line_style(place + 1) | {"linestyle": "none", "capsize": 3.0}
        axes.errorbar([place], [found.mean], yerr=[[found.mean - found.low], [found.high - found.mean]], **style)
    axes.set_xticks(range(len(stems)), [WEIGHTS[stem] for stem in stems])
    axes.set_xlabel("weight λ of right responses, −1 being that of wrong ones")
    axes.margins(x=0.08)


def draw(entropy: Curves, accuracy: Curves, out: Path) -> None:
    """Entropy above, accuracy below; over the steps on the left, at the end on the right."""
    stems = [stem for stem in WEIGHTS if len(entropy.get(stem, {})) > 1]
    labels = {stem: LABELS[stem] for stem in ("grpo", *stems)}
    with drawing(out / "fig8.svg", out / "fig8.png", width=9.6, height=6.6) as figure:
        grid = figure.subplots(2, 2)
        for row, curves, name in ((0, entropy, "entropy (nats per token)"), (1, accuracy, "accuracy (fraction)")):
            draw_lines(grid[row, 0], curves if row == 0 else smoothed(curves), labels, every=0)
            draw_ends(grid[row, 1], curves, stems)
            grid[row, 0].set_ylabel(name if row == 0 else f"{name}, mean of five steps")
            grid[row, 1].set_ylabel(f"{name} less GRPO's")
            grid[row, 1].set_title("last five steps, 95 % interval over seeds", fontsize=9.5)
        grid[0, 0].set_ylim(bottom=0)
        legend_above(figure, grid[0, 0], columns=6)


def sentence(entropy: Curves, accuracy: Curves) -> str:
    """The result in one sentence."""
    base, right = end_of(entropy["grpo"]), end_of(accuracy["grpo"])
    parts = [
        f"λ = {label} {difference(end_of(entropy[stem]), base)} nats and "
        f"{difference(end_of(accuracy[stem]), right)} accuracy"
        for stem, label in WEIGHTS.items()
        if len(entropy.get(stem, {})) > 1
    ]
    return (
        f"Against GRPO, which ends at {ends(entropy, 'grpo').mean:.3f} nats and {ends(accuracy, 'grpo').mean:.3f} "
        f"accuracy, W-REINFORCE ends (last five steps, paired by seed, 95 % interval) at {'; '.join(parts)}.\n"
    )


def ends(curves: Curves, stem: str) -> Interval:
    """The end of one variant."""
    return Interval.of(list(end_of(curves[stem]).values()))


def csv_rows(metrics: Mapping[str, Curves]) -> list[dict[str, object]]:
    """A row per weight: the end of each metric, and its difference to GRPO."""
    rows: list[dict[str, object]] = []
    for stem in LABELS:
        line: dict[str, object] = {"variant": stem, "seeds": len(next(iter(metrics.values())).get(stem, {}))}
        if line["seeds"] in (0, 1):
            continue
        for name, curves in metrics.items():
            end, apart = ends(curves, stem), difference(end_of(curves[stem]), end_of(curves["grpo"]))
            line |= {f"{name}_end": end.mean, f"{name}_end_low": end.low, f"{name}_end_high": end.high}
            line |= {f"{name}_less_grpo": apart.mean, f"{name}_less_low": apart.low, f"{name}_less_high": apart.high}
        rows.append(line)
    return rows


def main() -> None:
    variants = [studies.GRPO, *(HERE / f"{stem}.yaml" for stem in WEIGHTS)]
    planned, out = studies.have(HERE, __doc__, variants, SEEDS)
    found = studies.collect(planned, (ENTROPY, ACCURACY))
    entropy, accuracy = by_variant(found, ENTROPY), by_variant(found, ACCURACY)
    draw(entropy, accuracy, out)
    studies.write_rows(out / "fig8.csv", found)
    studies.write_rows(out / "fig8_ends.csv", csv_rows({"entropy_nats": entropy, "accuracy": accuracy}))
    text = sentence(entropy, accuracy)
    studies.write_result(out, "fig8", text)
    print(text, end="")


if __name__ == "__main__":
    main()
