"""A target's table as CSV, Markdown and LaTeX, and what it says in one sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.figures.studies import Scale
from experiments.tables.plans import Part, Plan, Row
from experiments.tables.published import Published
from experiments.tables.reading import BEFORE, Cells, Number
from steerctl.evaluation.intervals import Interval
from steerctl.evaluation.seeds import OverSeeds
from steerctl.report.page.files import LATEX, csv_text
from steerctl.report.page.findings import verdict
from steerctl.report.page.text import fixed, p_text
from steerctl.store.atomic import write_text

NOTHING = "–"
Found = Mapping[str, Mapping[str, OverSeeds]]
"""By a number's key, then by variant."""


@dataclass(frozen=True, slots=True)
class Table:
    """What a target found: its plan, its part at this scale, and every number of every row."""

    plan: Plan
    part: Part
    scale: Scale
    cells: Cells
    found: Found

    @property
    def shown(self) -> list[Row]:
        """Rows with anything in them."""
        return [row for row in self.part.rows if any(row.variant in each for each in self.found.values())]

    def of(self, number: Number, row: Row) -> OverSeeds | None:
        """One cell of the table."""
        return self.found[number.key].get(row.variant)


def table_of(plan: Plan, scale: Scale, cells: Cells) -> Table:
    """Every number of every row that is there."""
    part = plan.parts[scale]
    found: dict[str, dict[str, OverSeeds]] = {}
    for number in part.numbers:
        found[number.key] = cells.over_seeds(number)
        before = cells.before(number, part.baseline) if any(row.variant == BEFORE for row in part.rows) else None
        if before is not None:
            found[number.key][BEFORE] = before
    return Table(plan, part, scale, cells, found)


def write_table(table: Table, out: Path) -> str:
    """NAME.csv, NAME.md and NAME.tex -> the Markdown. Raises StorageError."""
    name, shown = table.plan.name, markdown(table)
    write_text(out / f"{name}.csv", csv_text(csv_rows(table)))
    write_text(out / f"{name}.md", f"# {table.plan.title}, {table.scale} scale\n\n{sentence(table)}\n\n{shown}")
    write_text(out / f"{name}.tex", latex(table))
    return shown


def csv_rows(table: Table) -> list[dict[str, Any]]:
    """A row per method and number of ours, as measured; then the paper's, in percent."""
    rows = []
    for row in table.shown:
        for number in table.part.numbers:
            each = table.of(number, row)
            if each is not None:
                rows.append({"source": "run", "method": row.label, "variant": row.variant, "number": number.key}
                            | _entries(each, number))  # fmt: skip
    if rows and table.plan.published is not None:
        nothing = dict.fromkeys(rows[0])
        rows += [
            nothing | {"source": "paper", "method": label, "number": column, "mean": value}
            for label, values in table.plan.published.rows.items()
            for column, value in zip(table.plan.published.columns, values, strict=True)
        ]
    return rows


def _entries(each: OverSeeds, number: Number) -> dict[str, Any]:
    own = {"seeds": each.mean.units, "mean": each.mean.value, "low": each.mean.low, "high": each.mean.high}
    apart = each.difference if number.compared else None
    return own | {
        "baseline": each.baseline if apart else None, "pairs": each.pairs if apart else None,
        "difference": apart.value if apart else None,
        "difference_low": apart.low if apart else None, "difference_high": apart.high if apart else None,
        "p": each.p_value if apart else None, "p_holm": each.p_adjusted if apart else None,
        "hedges_g": each.effect if apart else None, "finding": verdict(each) if apart else None,
    }  # fmt: skip


def heads(table: Table) -> list[str]:
    """The titles of the columns."""
    found = ["method", "seeds"]
    for number in table.part.numbers:
        unit = number.title.rpartition(", ")[2]
        less = f"less baseline, {'points' if unit == '%' else unit} [95%]"
        found += [f"{number.title} [95%]", less, "p (Holm)"] if number.compared else [number.title]
    return [*found, "the paper, mean of six", "less its GRPO"] if _has_average(table) else found


def lines(table: Table) -> list[list[str]]:
    """The cells of every row, as text."""
    return [_line(table, row) for row in table.shown]


def _line(table: Table, row: Row) -> list[str]:
    numbers = [(number, table.of(number, row)) for number in table.part.numbers]
    seeds = max((each.mean.units for _, each in numbers if each is not None), default=0)
    found = [row.label, str(seeds)]
    for number, each in numbers:
        found += _compared(number, each) if number.compared else [_mean(number, each)]
    if not _has_average(table) or table.plan.published is None:
        return found
    own, other = (table.plan.published.average(label) for label in (row.label, "GRPO"))
    apart = own - other if own is not None and other is not None and row.label != "GRPO" else None
    return [*found, fixed(own, 1), fixed(apart, 1, signed=True)]


def _mean(number: Number, each: OverSeeds | None) -> str:
    return NOTHING if each is None else fixed(each.mean.value * number.factor, _places(number))


def _compared(number: Number, each: OverSeeds | None) -> list[str]:
    """Mean, difference and p."""
    if each is None:
        return [NOTHING, "", ""]
    places = _places(number)
    own = f"{_mean(number, each)} {_range(each.mean, number)}".strip()
    if each.difference is None:
        return [own, "", ""]
    apart = fixed(each.difference.value * number.factor, places, signed=True)
    return [own, f"{apart} {_range(each.difference, number, signed=True)}".strip(), p_text(each.p_adjusted)]


def _places(number: Number) -> int:
    return 1 if number.factor == 100 else 3


def _range(interval: Interval, number: Number, *, signed: bool = False) -> str:
    if interval.low is None or interval.high is None:
        return ""
    low, high = (fixed(end * number.factor, _places(number), signed=signed) for end in (interval.low, interval.high))
    return f"[{low}, {high}]"


def _has_average(table: Table) -> bool:
    return table.plan.published is not None and table.plan.published.averaged


def markdown(table: Table) -> str:
    """Our table, then the paper's numbers with their source."""
    parts = [_markdown(heads(table), lines(table))] if table.shown else []
    if table.plan.published is not None:
        paper = table.plan.published
        parts.append(
            f"The paper's, percent ({paper.source}):\n\n{_markdown(['method', *paper.columns], _paper(paper))}"
        )
    return "\n".join(parts)


def _paper(paper: Published) -> list[list[str]]:
    return [[label, *(fixed(value, 1) for value in values)] for label, values in paper.rows.items()]


def _markdown(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    found = ["| " + " | ".join(titles) + " |", "|---|" + "---:|" * (len(titles) - 1)]
    return "\n".join([*found, *("| " + " | ".join(row) + " |" for row in rows)]) + "\n"


def latex(table: Table) -> str:
    """Our table with booktabs."""
    rows = [" & ".join(_tex(cell) for cell in row) + r" \\" for row in lines(table)]
    titles = heads(table)
    return "\n".join([
        "% needs \\usepackage{booktabs}", r"\begin{table}", r"\centering",
        rf"\caption{{{_tex(f'{table.plan.title}, {table.scale} scale')}}}",
        rf"\begin{{tabular}}{{l{'r' * (len(titles) - 1)}}}", r"\toprule",
        " & ".join(_tex(title) for title in titles) + r" \\", r"\midrule", *rows,
        r"\bottomrule", r"\end{tabular}", r"\end{table}", "",
    ])  # fmt: skip


def _tex(cell: str) -> str:
    return "".join({"λ": r"$\lambda$"}.get(letter, LATEX.get(letter, letter)) for letter in cell)


def sentence(table: Table) -> str:
    """What it says, with how much of it is there."""
    cells, compared = table.cells, [number for number in table.part.numbers if number.compared]
    state = f"{cells.finished} of {cells.wanted} cells are finished"
    if not cells.finished:
        return f"{state}; nothing can be said yet."
    if table.part.caution:
        return f"{table.part.caution}. {state.capitalize()}."
    whole = "" if cells.finished == cells.wanted else ", so the rest may still change what follows"
    return ". ".join([f"{state}{whole}", *(_said(table, number) for number in compared)]) + "."


def _said(table: Table, number: Number) -> str:
    """Of one number: who differs detectably, of how many, and STEER's difference."""
    judged = [(row, each) for row in table.shown if (each := table.of(number, row)) is not None and each.difference]
    name = number.title.partition(",")[0].capitalize()
    apart = [f"{row.label} {_compared(number, each)[1]}" for row, each in judged if each.detected]
    tested = [each for _, each in judged if each.detected is not None]
    if not tested:
        return f"{name}: no two seeds of a method and its baseline yet"
    what = f"{name}: {len(apart)} of {len(tested)} methods differ detectably from their baseline"
    what += f" ({'; '.join(apart)})" if apart else ""
    steer = [f"{row.label} {_compared(number, each)[1]}" for row, each in judged
             if row.label.startswith("STEER") and not each.detected]  # fmt: skip
    return what + (f"; not detected: {'; '.join(steer)}" if steer else "")
