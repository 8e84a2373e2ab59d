"""The tabular study's numbers over the seeds, beside the prototype's: table, CSV, figure."""

from __future__ import annotations

import csv
import math
import statistics
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from scipy.stats import t as student
from tabular_states import FAMILIES

from steerctl.report.canvas import drawing, note, series_style

HERE = Path(__file__).resolve().parent
Key = tuple[str, str, str, str, str]
"""Measurement, family, η, prediction, measure."""
KEYS = ("measurement", "family", "eta", "prediction", "measure")
LABELS = {
    "exact": "exact",
    "own_logit": "own logit (v4)",
    "squared": "squared (v1)",
    "state_centred": "−w(log π + H)",
    "released": "released code",
    "paper_integrand": "v1's integrand",
    "covariance": "covariance statistic",
}
BOUNDED = ("pearson", "spearman", "sign", "top_")
"""How the names of measures begin that lie between −1 and 1."""
BEGIN, END = "<!-- table: written by tabular.py -->", "<!-- end of table -->"


@dataclass(frozen=True)
class Published:
    """A number as printed, and half of its last digit."""

    value: float
    rounding: float


@dataclass(frozen=True)
class Line:
    """One number over the seeds, beside the prototype's if it has one."""

    mean: float
    low: float
    high: float
    prototype: float | None
    inside: bool | None


def read_prototype() -> dict[Key, Published]:
    with (HERE / "prototype.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return {
        (r["measurement"], r["family"], r["eta"], r["prediction"], r["measure"]): published(r["value"]) for r in rows
    }


def published(text: str) -> Published:
    return Published(float(text), 0.5 * 10.0 ** -len(text.partition(".")[2]))


def summarised(values: list[float], prototype: Published | None) -> Line:
    mean = statistics.fmean(values)
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    quantile = float(student.ppf(0.975, max(len(values) - 1, 1)))
    half = quantile * spread / math.sqrt(len(values))
    if prototype is None:
        return Line(mean, mean - half, mean + half, None, None)
    reach = quantile * spread * math.sqrt(1 + 1 / len(values)) + prototype.rounding
    return Line(mean, mean - half, mean + half, prototype.value, abs(prototype.value - mean) <= reach)


def write_csv(lines: dict[Key, Line], path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*KEYS, "mean", "low", "high", "prototype", "inside"])
        for key, line in lines.items():
            numbers = [f"{value:.6g}" for value in (line.mean, line.low, line.high)]
            writer.writerow([*key, *numbers, "" if line.prototype is None else f"{line.prototype:g}", line.inside])


def table(lines: dict[Key, Line]) -> str:
    """Every number the prototype has too, one line per prediction: mean ± half the interval [the prototype's]."""
    rows: defaultdict[Key, list[str]] = defaultdict(list)
    for key, line in lines.items():
        if line.prototype is not None:
            sign = "" if line.inside else "**"
            digits = 3 if abs(line.mean) < 10 else 1
            half = line.high - line.mean
            cell = f"{key[4]} {sign}{line.mean:.{digits}f} ± {half:.{digits}f} [{line.prototype:g}]{sign}"
            rows[(*key[:4], "")].append(cell)
    head = ["| | states | η | prediction | ours ± half a 95 % interval [prototype] |", "|---|---|---|---|---|"]
    body = [f"| {' | '.join(key[:4])} | {'; '.join(cells)} |" for key, cells in rows.items()]
    return "\n".join([*head, *body])


def distance(lines: dict[Key, Line]) -> str:
    """How far the prototype's numbers are from ours, in one sentence."""
    pairs = [line for line in lines.values() if line.prototype is not None]
    inside = sum(bool(line.inside) for line in pairs)
    bounded = [line for key, line in lines.items() if line.prototype is not None and key[4].startswith(BOUNDED)]
    gaps = sorted(abs(line.mean - (line.prototype or 0.0)) for line in bounded)
    median, most = (gaps[int(share * (len(gaps) - 1))] for share in (0.5, 0.9))
    return (
        f"{inside} of the prototype's {len(pairs)} numbers lie where one more seed would; of the {len(bounded)} "
        f"correlations and shares among them half differ from our mean by less than {median:.3f}, nine in ten by less "
        f"than {most:.3f}."
    )


def draw(lines: dict[Key, Line], etas: tuple[float, ...], folder: Path) -> None:
    """Correlation of each form at small steps in the three families, and what larger steps do to the two best."""
    titles = {"llm": "LLM-like states", "zipf": "Zipf states", "gaussian": "Gaussian states"}
    with drawing(folder / "tabular.svg", folder / "tabular.png", width=10.0, height=4.2) as figure:
        left, right = figure.subplots(1, 2, width_ratios=(1.15, 1))
        for index, family in enumerate(FAMILIES):
            found = [lines["A", family, "0.01", name, "pearson"] for name in LABELS]
            places = [place + 0.22 * (index - 1) for place in range(len(found))]
            reach = [[line.mean - line.low for line in found], [line.high - line.mean for line in found]]
            means = [line.mean for line in found]
            left.errorbar(means, places, xerr=reach, linestyle="none", label=titles[family], **series_style(index))
        left.set_yticks(range(len(LABELS)), list(LABELS.values()))
        left.invert_yaxis()
        left.set(xlabel="Pearson correlation with the measured change, η = 0.01", xlim=(0.38, 1.02))
        left.legend(frameon=False, loc="lower right")
        for index, family in enumerate(FAMILIES):
            for name, style in (("exact", "-"), ("second_order", "--")):
                found = [lines["A", family, f"{eta:g}", name, "r2"] for eta in etas]
                label = titles[family] if name == "exact" else None
                means = [line.mean for line in found]
                right.plot(etas, means, linestyle=style, label=label, **series_style(index))
        right.set_xscale("log")
        right.set(
            xlabel="step size η of the logits (|w| from 0.3 to 1.8)", ylabel="R², nothing refitted", ylim=(-1, 1.05)
        )
        right.axhline(0, color="#222222", linewidth=0.8)
        note(right, "solid: exact first order\ndashed: with the second order", corner="lower left")


def write_table(text: str) -> None:
    readme = HERE / "README.md"
    old = readme.read_text(encoding="utf-8")
    head, rest = old.split(BEGIN)
    readme.write_text(f"{head}{BEGIN}\n{text}\n{END}{rest.split(END)[1]}", encoding="utf-8")
