"""Tables of the transformer study, as Markdown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median

from transformer_results import FALL, FIRST, LATER, OWN, PARTS, TOTALS, Cell, Results, crossing

from steerctl.analysis.agreement import Agreement
from steerctl.analysis.bootstrap import Estimate
from steerctl.report.agreement import Point

LABELS = {
    "first_order": "first order, whole update",
    "first_order+second_order": "first and second order",
    "fall": "always a fall",
    "own_state": "own-state term (true)",
    "own_state+own_second_order": "own state, second order too",
    "exact": "exact",
    "own_logit": "own logit (v4)",
    "squared": "squared (v1)",
    "released": "released code",
    "covariance": "covariance statistic",
    "population": "population, π·exact",
    "population_natural": "population, natural",
}
PART_LABELS = {
    "own_state": "own state",
    "others": "other tokens",
    "carried": "momentum and decay",
    "remainder": "beyond first order",
}
SHOWN = (("AdamW", FIRST), ("AdamW", LATER), ("SGD", LATER))
"""Rows of the longer tables; transformer_*.csv has all."""
PART_RATES = {"AdamW": (1e-6, 1e-4, 4e-4, 4e-3), "SGD": (1e-3, 1e-2, 0.1, 1.0)}
PEARSON, SIGN = 0.97, 0.9
"""Levels that are asked about: where correlation is above the one, and where sign agreement below the other."""


def tables(found: Results) -> dict[str, str]:
    """By the name that stands in the page's markers."""
    return {
        "rates": _rates(found),
        "crossings": _crossings(found),
        "numbered": _numbered(found),
        "forms": _forms(found),
        "parts": _parts(found),
        "pushes": _pushes(found),
        "means": _means(found),
        "singles": _singles(found),
        "tails": _tails(found),
    }


def text(found: Estimate | None, digits: int = 3) -> str:
    """A value with its interval."""
    if found is None or found.value is None:
        return ""
    if found.low is None or found.high is None:
        return f"{found.value:.{digits}f}"
    return f"{found.value:.{digits}f} ({found.low:.{digits}f} to {found.high:.{digits}f})"


def measure(found: Agreement | None, name: str) -> str:
    """One of an agreement's measures; `remainder` is √(Σ remainder²/Σ measured²) = √(1 − r2)."""
    if found is None:
        return ""
    if name != "remainder":
        return text(found.measures[name])
    r2 = found.measures["r2"]
    value, low, high = (None if each is None else math.sqrt(max(0.0, 1 - each)) for each in (r2.value, r2.high, r2.low))
    return text(Estimate(value, low, high), 2)


def rate_text(rate: float) -> str:
    """4e-4 and not 0.0004, 1e-5 and not 1e-05, but 0.01."""
    if rate >= 0.01:
        return f"{rate:g}"
    return f"{rate:.1e}".replace(".0e", "e").replace("e-0", "e-")


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table."""
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *rows))


def _rates(found: Results) -> str:
    head = [
        "optimiser", "updates", "learning rate", "mean abs ΔH (nats)", "Pearson", "sign agreement",
        "remainder / change", "Pearson, 2nd order too", "sign, 2nd order too", "remainder after 2nd order / change",
    ]  # fmt: skip
    rows = []
    for optimiser, updates in SHOWN:
        for rate in found.rates[optimiser]:
            cell = found.cell(optimiser, rate, updates)
            shown = [
                measure(found.line("rates", cell, each), name)
                for each in TOTALS
                for name in ("pearson", "sign", "remainder")
            ]
            if cell in found.sizes:
                rows.append([optimiser, updates, rate_text(rate), f"{found.sizes[cell]:.2g}", *shown])
    return markdown(head, rows)


def _crossings(found: Results) -> str:
    head = [
        "optimiser", "updates", f"Pearson below {PEARSON} from", "the same, 2nd order too",
        f"sign agreement below {SIGN} from", "the same, 2nd order too",
    ]  # fmt: skip
    asked = [(name, level, each) for name, level in (("pearson", PEARSON), ("sign", SIGN)) for each in TOTALS]
    rows = [
        [
            optimiser,
            updates,
            *(_crossing(found.points(optimiser, updates, each, name), level) for name, level, each in asked),
        ]
        for optimiser in found.rates
        for updates in found.updates
    ]
    return markdown(head, rows)


def _crossing(points: Sequence[Point], level: float) -> str:
    """The rate where the value falls below the level, and where its interval's ends do."""
    value, low, high = (
        crossing([(point.x, getattr(point, which)) for point in points], level) for which in ("value", "low", "high")
    )

    def named(rate: float) -> str:
        if rate == math.inf:
            return f"over {rate_text(points[-1].x)}"
        return f"under {rate_text(points[0].x)}" if rate == 0 else rate_text(float(f"{rate:.2g}"))

    return named(value) if value == low == high else f"{named(value)} ({named(low)} to {named(high)})"


def _numbered(found: Results) -> str:
    cells = [line.cell for line in found.lines if (line.study, line.prediction) == ("numbered", TOTALS[0])]
    rates = sorted({cell.trained_at for cell in cells}, reverse=True)
    head = ["update"]
    for rate in rates:
        head += [f"at {rate_text(rate)}: Pearson", "sign agreement", "Pearson, 2nd order too"]
    rows = []
    for name in dict.fromkeys(cell.updates for cell in cells):
        row = [name]
        for rate in rates:
            first, both = (found.line("numbered", Cell("AdamW", rate, rate, name), each) for each in TOTALS)
            row += [measure(first, "pearson"), measure(first, "sign"), measure(both, "pearson")]
        rows.append(row)
    return markdown(head, rows)


def _forms(found: Results) -> str:
    head = [
        "prediction", "measured change, all tokens: Pearson", "w ≠ 0: Pearson", "Spearman", "sign",
        "AdamW 1e-5, w ≠ 0: Pearson", "SGD 0.01, w ≠ 0: Pearson", "own-state term, w ≠ 0: Pearson", "Spearman", "sign",
    ]  # fmt: skip
    late = found.cell("AdamW", found.trained_at, LATER)
    pushed = found.cell("AdamW", found.trained_at, LATER, "pushed")
    small, plain = (found.cell(*each, LATER, "pushed") for each in (("AdamW", 1e-5), ("SGD", 1e-2)))
    three = ("pearson", "spearman", "sign")
    rows = []
    for prediction in (TOTALS[0], FALL, *OWN):
        wanted = [(late, "pearson"), *((pushed, name) for name in three), (small, "pearson"), (plain, "pearson")]
        shown = [measure(found.line("forms", cell, prediction), name) for cell, name in wanted]
        shown += [measure(found.line("forms", pushed, prediction, "own_state"), name) for name in three]
        rows.append([LABELS[prediction], *shown])
    return markdown(head, rows)


def _parts(found: Results) -> str:
    head = ["optimiser", "updates", "learning rate", *(f"{PART_LABELS[part]}: size" for part in PARTS)]
    head += [f"{PART_LABELS[part]}: fit" for part in PARTS]
    rows = []
    for optimiser, updates in SHOWN:
        for rate in PART_RATES[optimiser]:
            cell = found.cell(optimiser, rate, updates)
            if cell in found.sizes:
                parts = [found.share(cell, part) for part in PARTS]
                shown = [text(part.size, 2) for part in parts] + [text(part.fit, 2) for part in parts]
                rows.append([optimiser, updates, rate_text(rate), *shown])
    return markdown(head, rows)


def _pushes(found: Results) -> str:
    head = [
        "push, abs w(1 − π)", "tokens", "rms ΔH (nats)", "of Σ remainder²", "first order: Pearson", "sign",
        "remainder / change", "own-state term: Pearson", "sign",
    ]  # fmt: skip
    lines = [line for line in found.lines if (line.study, line.prediction) == ("pushes", "first_order")]
    squares = [(line.found.measures["mse"].value or 0.0) * line.found.tokens for line in lines]
    rows = []
    for line, square in zip(lines, squares, strict=True):
        own = found.line("pushes", line.cell, "own_state")
        shown = [measure(line.found, name) for name in ("pearson", "sign", "remainder")]
        shown += [measure(own, "pearson"), measure(own, "sign")]
        numbers = [f"{line.found.tokens:,}", f"{_root_mean_square(line.found):.2g}", f"{square / sum(squares):.0%}"]
        rows.append([line.cell.tokens, *numbers, *shown])
    return markdown(head, rows)


def _singles(found: Results) -> str:
    head = [
        "trained at", "optimiser", "learning rate", "updates", f"with Pearson ≥ {PEARSON}", "Pearson: median (lowest)",
        f"with sign ≥ {PEARSON}", "sign agreement: median (lowest)", "Spearman: median (lowest)",
        f"with both ≥ {PEARSON}",
    ]  # fmt: skip
    groups: dict[tuple[str, ...], list[Agreement]] = {}
    for line in found.lines:
        if line.study == "singles":
            cell = line.cell
            key = (rate_text(cell.trained_at), cell.optimiser, rate_text(cell.learning_rate))
            as_it_was = cell.optimiser == "AdamW" and cell.learning_rate == cell.trained_at
            for name in _groups(cell.updates.split(" ", 1)[0], each_step=as_it_was):
                groups.setdefault((*key, name), []).append(line.found)
    rows = []
    for key, several in groups.items():
        row = list(key)
        for name in ("pearson", "sign", "spearman"):
            values = [each.measures[name].value or 0.0 for each in several]
            above = f"{sum(value >= PEARSON for value in values)} of {len(several)}"
            row += [*(() if name == "spearman" else (above,)), f"{median(values):.3f} ({min(values):.3f})"]
        both = sum(min(each.measures[name].value or 0.0 for name in ("pearson", "sign")) >= PEARSON for each in several)
        rows.append([*row, f"{both} of {len(several)}"])
    return markdown(head, rows)


def _groups(number: str, *, each_step: bool) -> list[str]:
    """Of the update's number, such as 3.2."""
    if number == "1.1":
        return [FIRST]
    step = number.split(".", 1)[0]
    return [LATER, *(["1.2 to 1.4" if step == "1" else f"step {step}"] if each_step else [])]


def _tails(found: Results) -> str:
    head = [
        "optimiser", "learning rate", "tokens", "make 50% of Σ remainder²", "make 90%", "Pearson, first order",
        "without the 1% with the largest remainders",
    ]  # fmt: skip
    rows = [
        [tail.cell.optimiser, rate_text(tail.cell.learning_rate), f"{tail.count:,}", str(tail.half), str(tail.most),
         f"{tail.pearson:.3f}", f"{tail.pearson_without:.3f}"]
        for tail in found.tails
    ]  # fmt: skip
    return markdown(head, rows)


def _root_mean_square(found: Agreement) -> float:
    """Of the measured change: r2 = 1 − mse / mean square."""
    mse, r2 = found.measures["mse"].value, found.measures["r2"].value
    return math.nan if mse is None or r2 is None or r2 == 1 else math.sqrt(mse / (1 - r2))


def _means(found: Results) -> str:
    rows = [
        [LABELS[line.prediction], str(line.found.tokens), measure(line.found, "pearson"), measure(line.found, "sign")]
        for line in found.lines
        if line.study == "means"
    ]
    return markdown(["mean over an update's tokens", "updates", "Pearson", "sign agreement"], rows)
