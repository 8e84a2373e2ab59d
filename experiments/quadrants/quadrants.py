"""Figures 6, 22 and 23: eight schemes that scale one quadrant of tokens, against GRPO, paired by seed.

    python -m experiments.quadrants.quadrants            # trains what is missing, then draws; SCALE=paper for the 7B
    python -m experiments.quadrants.quadrants --drawn    # draws what is there

fig6   the difference of entropy to GRPO, eight schemes, with its interval and the direction the theory gives
fig22  entropy over the steps, the four schemes that should raise it
fig23  the same, the four that should lower it

entropy   policy/entropy/mean, nats: of the policy at the start of the step, over its responses
curve     its mean over all steps (the area under the curve over their number)
end       its mean over the last five steps
within    sum over the steps of entropy_change/measured/mean: what each step did to H at the states it trained on
accuracy  accuracy/mean over all steps: the price
interval  95 %, Student's t over seeds, of the scheme less GRPO at equal seed
verdict   agrees / opposite where the curve's interval leaves out 0, else not detectable
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

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
    mean_of,
    sum_of,
)
from experiments.figures.studies import Interval
from steerctl.report.canvas import drawing

HERE = Path(__file__).resolve().parent
SEEDS = (1, 2, 3, 4, 5)
ENTROPY, MEASURED, ACCURACY = "policy/entropy/mean", "entropy_change/measured/mean", "accuracy/mean"
QUADRANTS = {1: "right, likely", 2: "right, unlikely", 3: "wrong, unlikely", 4: "wrong, likely"}


@dataclass(frozen=True, slots=True)
class Scheme:
    """One variant: the direction its file's name promises, what it does, to which quadrant."""

    stem: str

    @property
    def rises(self) -> bool:
        """Whether the theory says that entropy rises."""
        return self.stem.startswith("raise")

    @property
    def label(self) -> str:
        """For a legend, for example `weaken 1 (right, likely)`."""
        _, verb, quadrant = self.stem.split("_")
        return f"{verb} {quadrant} ({QUADRANTS[int(quadrant)]})"


SCHEMES = tuple(
    Scheme(stem)
    for stem in (
        "raise_weaken_1", "raise_strengthen_2", "raise_weaken_3", "raise_strengthen_4",
        "lower_strengthen_1", "lower_weaken_2", "lower_strengthen_3", "lower_weaken_4",
    )
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: differences to GRPO in nats, that of accuracy as a fraction."""

    scheme: Scheme
    seeds: int
    curve: Interval
    end: Interval
    within: Interval
    accuracy: Interval

    @property
    def verdict(self) -> str:
        """By the curve."""
        return verdict(self.scheme, self.curve)


def verdict(scheme: Scheme, found: Interval) -> str:
    """Whether the measured direction is the theory's."""
    if found.sign == 0:
        return "not detectable"
    return "agrees" if (found.sign > 0) == scheme.rises else "opposite"


def table_of(entropy: Curves, measured: Curves, accuracy: Curves) -> list[Row]:
    """A row per scheme with at least two seeds."""
    base, moved = entropy["grpo"], sum_of(measured["grpo"])
    rows = []
    for scheme in SCHEMES:
        own = entropy.get(scheme.stem)
        if own is None or len(own) < 2:
            continue
        rows.append(
            Row(
                scheme,
                len(own),
                difference(mean_of(own), mean_of(base)),
                difference(end_of(own), end_of(base)),
                difference(sum_of(measured[scheme.stem]), moved),
                difference(mean_of(accuracy[scheme.stem]), mean_of(accuracy["grpo"])),
            )
        )
    return rows


def markdown(rows: Sequence[Row]) -> str:
    """The table for the README."""
    head = "| scheme | theory | over the curve | verdict | at the end | verdict | within steps | accuracy |"
    lines = [head, "|" + "---|" * 8]
    for row in rows:
        direction = "rises" if row.scheme.rises else "falls"
        end = verdict(row.scheme, row.end)
        cells = (row.scheme.label, direction, row.curve, row.verdict, row.end, end, row.within, row.accuracy)
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def sentence(rows: Sequence[Row], seeds: int) -> str:
    """The result in one sentence."""
    groups = {word: [row for row in rows if row.verdict == word] for word in ("agrees", "opposite", "not detectable")}
    told = {
        word: "; ".join(f"{row.scheme.label} {row.curve}" for row in found) or "none" for word, found in groups.items()
    }
    return (
        f"Of {len(rows)} quadrant schemes against GRPO ({seeds} seeds, paired; difference of mean entropy over the run "
        f"in nats, 95 % interval), {len(groups['agrees'])} move entropy as the theory says ({told['agrees']}), "
        f"{len(groups['opposite'])} the other way ({told['opposite']}), and for {len(groups['not detectable'])} no "
        f"direction can be told ({told['not detectable']}).\n"
    )


def csv_rows(rows: Sequence[Row]) -> list[dict[str, object]]:
    """fig6.csv."""
    found: list[dict[str, object]] = []
    for row in rows:
        line: dict[str, object] = {"scheme": row.scheme.stem, "theory": "rises" if row.scheme.rises else "falls"}
        line |= {"seeds": row.seeds, "verdict_curve": row.verdict, "verdict_end": verdict(row.scheme, row.end)}
        for name, each in (("curve", row.curve), ("end", row.end), ("within", row.within)):
            line |= {f"{name}_nats": each.mean, f"{name}_low": each.low, f"{name}_high": each.high}
        line |= {"accuracy": row.accuracy.mean, "accuracy_low": row.accuracy.low, "accuracy_high": row.accuracy.high}
        found.append(line)
    return found


def draw_table(rows: Sequence[Row], out: Path) -> None:
    """Figure 6."""
    with drawing(out / "fig6.svg", out / "fig6.png", width=7.6, height=4.6) as figure:
        axes = figure.subplots()
        raising = sum(row.scheme.rises for row in rows)
        across = axes.get_yaxis_transform()
        axes.axhline(0.5 - raising, color="#888888", linewidth=0.8, linestyle=(0, (4, 3)))
        lines = [(row.scheme.label, (row.curve, row.end)) for row in rows]
        draw_differences(axes, lines, ("mean over the run", "last five steps"))
        axes.text(0.99, 0.3, "theory: entropy rises →", transform=across, ha="right", fontsize=9)
        axes.text(0.01, 0.3 - raising, "← theory: entropy falls", transform=across, ha="left", fontsize=9)
        axes.set_xlabel("entropy, scheme less GRPO at equal seed (nats per token)")
        legend_on(axes, columns=2)


def draw_schemes(entropy: Curves, schemes: Sequence[Scheme], name: str, out: Path) -> None:
    """Figures 22 and 23: a panel per scheme, GRPO in each."""
    with drawing(out / f"{name}.svg", out / f"{name}.png", width=8.6, height=6.0) as figure:
        grid = figure.subplots(2, 2, sharex=True, sharey=True)
        for axes, scheme in zip(grid.flat, schemes, strict=False):
            draw_lines(axes, entropy, {"grpo": "GRPO", scheme.stem: "scheme"})
            axes.set_title(scheme.label, fontsize=10)
            axes.set_ylim(bottom=0)
            axes.label_outer()
        for axes in grid[:, 0]:
            axes.set_ylabel("entropy (nats per token)")
        legend_above(figure, grid[0, 0], columns=2)


def main() -> None:
    variants = [studies.GRPO, *(HERE / f"{scheme.stem}.yaml" for scheme in SCHEMES)]
    planned, out = studies.have(HERE, __doc__, variants, SEEDS)
    found = studies.collect(planned, (ENTROPY, MEASURED, ACCURACY))
    entropy = by_variant(found, ENTROPY)
    rows = table_of(entropy, by_variant(found, MEASURED), by_variant(found, ACCURACY))
    draw_table(rows, out)
    studies.write_rows(out / "fig6.csv", csv_rows(rows))
    text = sentence(rows, len(entropy["grpo"]))
    studies.write_result(out, "fig6", text, shown=markdown(rows))
    for name, rises in (("fig22", True), ("fig23", False)):
        schemes = [row.scheme for row in rows if row.scheme.rises == rises]
        stems = {"grpo", *(scheme.stem for scheme in schemes)}
        draw_schemes(entropy, schemes, name, out)
        studies.write_rows(out / f"{name}.csv", [row for row in found if row["variant"] in stems])
        own = [row for row in rows if row.scheme.rises == rises]
        (out / f"{name}.txt").write_text(sentence(own, len(entropy["grpo"])), encoding="utf-8")
    print(text, end="")


if __name__ == "__main__":
    main()
