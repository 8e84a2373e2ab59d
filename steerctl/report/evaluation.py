"""The result of an evaluation on half a screen: what came out, and how it was judged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table

LIKE, THESE = "questions like these", "these questions"
STEPS = 3
"""Deciding steps of the grader that are shown, the most frequent first."""
NOTES = (
    "percent; brackets: 95% intervals over other questions like these, and over fresh samples of these questions",
    "no answer, cut at the longest length and timeouts count as wrong; a missing response is an error",
)


def result_tables(result: Mapping[str, Any]) -> tuple[Table, Table]:
    """Scores by benchmark with the mean over them, and the answers behind them."""
    return _scores(result), _answers(result)


def footnotes(result: Mapping[str, Any]) -> list[str]:
    """What the columns are, and what a reader must know."""
    notes = list(NOTES)
    for name, each in result["benchmarks"].items():
        if (overlap := each.get("overlap", {})).get("questions"):
            kept = "left out" if overlap["excluded"] else "still counted"
            notes.append(f"* {name}: {overlap['questions']} questions are in the training data, {kept}")
        if each["grader_errors"]:
            notes.append(f"{name}: the grader failed on {each['grader_errors']} responses")
    return notes


def _scores(result: Mapping[str, Any]) -> Table:
    table = _table("N×k", "avg@k", "like these", "these", "pass@k", "maj@k")
    for name, each in result["benchmarks"].items():
        samples = str(each["samples"])
        table.add_row(
            name + (" *" if each.get("overlap", {}).get("questions") else ""),
            f"{each['questions']}×{samples}",
            _percent(each["accuracy"]["value"]),
            _range(each["accuracy"], LIKE),
            _range(each["accuracy"], THESE),
            _of(each["pass_at"], samples),
            _of(each["majority_at"], samples),
        )
    if (macro := result.get("macro")) is not None:
        table.add_row("mean", "", _percent(macro["value"]), _range(macro, LIKE), _range(macro, THESE), style="bold")
    return table


def _answers(result: Mapping[str, Any]) -> Table:
    table = _table("no answer", "cut", "tokens", "timeouts")
    table.add_column("decided by", overflow="fold")
    for name, each in result["benchmarks"].items():
        steps = list(each["decided_by"].items())[:STEPS]
        table.add_row(
            name,
            _percent(each["no_answer"]),
            _percent(each["truncated"]),
            f"{each['length']['mean']:,.0f}",
            str(each["grader_timeouts"]),
            ", ".join(f"{step} {_percent(share)}" for step, share in steps),
        )
    return table


def _table(*titles: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("benchmark", no_wrap=True)
    for title in titles:
        table.add_column(title, justify="right", no_wrap=True)
    return table


def _of(by_k: Mapping[str, Any], k: str) -> str:
    return _percent(by_k[k]["value"]) if k in by_k else "–"


def _range(value: Mapping[str, Any], population: str) -> str:
    bar = value["intervals"][population]
    return "unknown" if bar["low"] is None else f"[{_percent(bar['low'])}, {_percent(bar['high'])}]"


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"
