"""The findings as files: CSV for programs, Markdown and LaTeX for people."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from steerctl.evaluation.seeds import OverSeeds
from steerctl.report.page.findings import PHASES, Number, verdict
from steerctl.report.page.report import Report
from steerctl.report.page.text import bounds, difference_places, fixed, in_unit, number_places, p_text
from steerctl.store.atomic import storage_errors, write_text

LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "−": "$-$", "–": "--", "<": "$<$", ">": "$>$",
}  # fmt: skip
"""What LaTeX would take for more than a letter."""
ASKED = ("asked", "of", "number", "pairs", "difference", "95%", "p (Holm)", "g", "finding")
HEADS = ("method", "seeds", "mean", "95%", "difference", "95%", "p (Holm)", "g", "finding")


def write_tables(report: Report, folder: Path) -> list[Path]:
    """methods.csv, .md and .tex, contrasts.csv (if some were planned), runs.csv and cost.csv; makes the folder.

    Raises:
        StorageError: the folder or a file cannot be written.
    """
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    texts = {
        "methods.csv": csv_text(method_rows(report)),
        "methods.md": markdown(report),
        "methods.tex": latex(report),
        "runs.csv": csv_text(run_rows(report)),
        "cost.csv": csv_text(cost_rows(report)),
    }
    if report.planned:
        texts["contrasts.csv"] = csv_text(contrast_rows(report))
    for name, text in texts.items():
        write_text(folder / name, text)
    return [folder / name for name in texts]


def method_rows(report: Report) -> list[dict[str, Any]]:
    """One row per number, moment and method; what is not known is None."""
    return [
        {"metric": number.key, "at": number.at, "method": name, **_row(each)}
        for number in report.numbers
        for name, each in number.found.items()
    ]


def contrast_rows(report: Report) -> list[dict[str, Any]]:
    """One row per planned contrast; p_holm is corrected over these rows."""
    return [
        {"asked": each.says, "metric": each.key, "method": each.method, **_row(each.found)} for each in report.planned
    ]


def run_rows(report: Report) -> list[dict[str, Any]]:
    """One row per run, every number of it."""
    rows = []
    for method in report.methods.methods:
        for run in method.runs:
            row: dict[str, Any] = {"method": method.name, "seed": run.seed, "run": str(run.record.path)}
            row |= {"state": run.state, "steps": run.steps}
            for number in report.numbers:
                label = number.key if number.at == "last" else f"{number.key} at the chosen step"
                row[label] = number.values.get(method.name, {}).get(run.seed)
            rows.append(row)
    return rows


def cost_rows(report: Report) -> list[dict[str, Any]]:
    """One row per method: means over its runs."""
    return [
        {"method": name, "runs": each.runs, "steps": each.steps, "tokens": each.tokens, "seconds": each.seconds}
        | {f"seconds of {phase}": each.parts.get(phase) for phase in PHASES}
        for name, each in report.costs.items()
    ]


def markdown(report: Report) -> str:
    """A table of the planned contrasts, and one per number."""
    parts = []
    for each in _tables(report):
        lines = ["| " + " | ".join(each.heads) + " |", "|---|" + "---:|" * (len(each.heads) - 2) + "---|"]
        lines += ["| " + " | ".join(_pipe(cell) for cell in row) + " |" for row in each.rows]
        parts.append(f"### {each.caption}\n\n" + "\n".join(lines) + "\n")
    return "\n".join(parts)


def latex(report: Report) -> str:
    """The same with booktabs, a `table` each."""
    parts = ["% needs \\usepackage{booktabs}"]
    for each in _tables(report):
        rows = [" & ".join(_tex(cell) for cell in row) + r" \\" for row in each.rows]
        parts += [
            r"\begin{table}", r"\centering", rf"\caption{{{_tex(each.caption)}}}",
            rf"\begin{{tabular}}{{{each.columns}}}", r"\toprule",
            " & ".join(_tex(head) for head in each.heads) + r" \\", r"\midrule", *rows, r"\bottomrule",
            r"\end{tabular}", r"\end{table}", "",
        ]  # fmt: skip
    return "\n".join(parts)


@dataclass(frozen=True, slots=True)
class _Table:
    """As text; `columns` for LaTeX."""

    caption: str
    heads: Sequence[str]
    columns: str
    rows: Sequence[Sequence[str]]


def _tables(report: Report) -> list[_Table]:
    planned = _Table(f"Planned contrasts, {_end(report)}", ASKED, r"lllrr@{\ }lrrl", _contrast_cells(report))
    columns = "lr" + r"r@{\ }l" * 2 + "rrl"
    numbers = [_Table(_caption(report, each), HEADS, columns, _cells(each)) for each in report.numbers]
    return [planned, *numbers] if report.planned else numbers


def csv_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows under their keys; None is empty. Empty without rows."""
    if not rows:
        return ""
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: "" if value is None else value for key, value in row.items()} for row in rows)
    return out.getvalue()


def _row(each: OverSeeds) -> dict[str, Any]:
    found = each.difference
    return {
        "seeds": each.mean.units, "mean": each.mean.value, "low": each.mean.low, "high": each.mean.high,
        "baseline": each.baseline, "pairs": each.pairs if each.baseline else None,
        "difference": found.value if found else None,
        "difference_low": found.low if found else None, "difference_high": found.high if found else None,
        "p": each.p_value, "p_holm": each.p_adjusted, "p_sign_flip": each.p_flip, "hedges_g": each.effect,
        "detectable": each.seen, "finding": verdict(each) or "baseline",
    }  # fmt: skip


def _cells(number: Number) -> list[list[str]]:
    places, finer = number_places(number)
    rows = []
    for name, each in number.found.items():
        own = [name, str(each.mean.units), fixed(each.mean.value, places), bounds(each.mean, places)]
        if each.difference is None:
            own += ["", "", "", "", verdict(each) or "baseline"]
        else:
            own += [fixed(each.difference.value, finer, signed=True), bounds(each.difference, finer, signed=True)]
            own += [p_text(each.p_adjusted), fixed(each.effect, 2, signed=True), verdict(each) or "baseline"]
        rows.append(own)
    return rows


def _contrast_cells(report: Report) -> list[list[str]]:
    rows = []
    for each in report.planned:
        found, places = each.found, difference_places([each.found])
        value = found.difference.value if found.difference else None
        own = [
            each.says,
            f"{each.method} against {each.baseline}",
            f"{each.title}{in_unit(each.unit)}",
            str(found.pairs),
        ]
        own += [fixed(value, places, signed=True), bounds(found.difference, places, signed=True)]
        rows.append([*own, p_text(found.p_adjusted), fixed(found.effect, 2, signed=True), verdict(found)])
    return rows


def _end(report: Report) -> str:
    steps = report.question.last_steps
    return f"mean of the last {steps} steps" if steps > 1 else "at the last step"


def _caption(report: Report, number: Number) -> str:
    last = _end(report)
    when = last if number.at == "last" else f"at the step with the best {report.question.choose_by}"
    return f"{number.title}{in_unit(number.unit)}, {when}"


def _pipe(cell: str) -> str:
    return re.sub(r"([\\`*_|<>])", r"\\\1", " ".join(cell.split()))


def _tex(cell: str) -> str:
    return "".join(LATEX.get(letter, letter) for letter in " ".join(cell.split()))
