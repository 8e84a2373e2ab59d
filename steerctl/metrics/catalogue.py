"""The one table of metric names: unit, formula, name in other trainers. `docs/metrics.md` is written from it.

`python -m steerctl.metrics.catalogue` rewrites docs/metrics.md in the current folder.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from steerctl.metrics._table import TABLE

ESTIMATORS = ("exact", "own_logit", "squared", "released", "covariance")
"""Forms of the first-order entropy change; formulas in steerctl/entropy/change.py."""
PREDICTED = ("first_order", "exact")
"""What a probe holds against the measured change, line by line of the metrics; the rest is in its token tables."""

BENCHMARKS = (
    "aime24", "aime25", "amc23", "math500", "minerva", "olympiadbench", "gsm8k", "humaneval_plus", "mbpp_plus",
    "livecodebench", "leetcode", "arithmetic",
)  # fmt: skip
"""What `steerctl eval` knows (spec/suites.py)."""

TIMING_SECTION = "Time and memory"


@dataclass(frozen=True, slots=True)
class Metric:
    """One entry of the table.

    key      `area/quantity/statistic`, or `area/statistic`
    unit     nats, fraction, tokens, seconds, ...; "1" for a plain number
    meaning  the formula, in words and signs
    alias    what other trainers call the same quantity, if they have it
    timing   depends on the clock or the machine: differs between a resumed and an uninterrupted run
    """

    key: str
    unit: str
    meaning: str
    alias: str
    timing: bool


@cache
def sections() -> dict[str, tuple[Metric, ...]]:
    """The table by section; `<estimator>` and its like stand as they are."""
    found: dict[str, tuple[Metric, ...]] = {}
    for block in TABLE.split("\n== ")[1:]:
        title, _, body = block.partition("\n")
        found[title] = tuple(_entries(body, timing=title == TIMING_SECTION))
    return found


@cache
def metrics() -> dict[str, Metric]:
    """Every metric by key, `<estimator>` and its like written out; RuntimeError if a key stands twice."""
    found: dict[str, Metric] = {}
    for metric in (metric for section in sections().values() for metric in section):
        for key in _written_out(metric.key):
            if found.setdefault(key, metric) is not metric:
                raise RuntimeError(f"metric {key} stands twice in the catalogue")
    return found


def _written_out(key: str) -> list[str]:
    keys = [key.replace("<estimator>", name) for name in ESTIMATORS]
    keys = [each.replace("<predicted>", name) for each in keys for name in PREDICTED]
    return [each.replace("<benchmark>", name) for each in keys for name in BENCHMARKS]


def is_timing(key: str) -> bool:
    """Whether a metric depends on the clock or the machine; KeyError if the catalogue does not know it."""
    return metrics()[key].timing


def markdown() -> str:
    """The text of docs/metrics.md."""
    lines = [
        "# Metrics",
        "",
        "Made from `steerctl/metrics/catalogue.py` by `python -m steerctl.metrics.catalogue`; do not edit by hand.",
        "",
        "Every line of a run's `metrics.jsonl` holds `step` and these keys. A mean with nothing to average over is",
        "left out of the line; a number that is not finite is `null`. The last section depends on the clock and the",
        "machine; everything else is the same, bit for bit on CPU, in a run that was interrupted and resumed.",
        "`<estimator>` is one of "
        + ", ".join(f"`{name}`" for name in ESTIMATORS)
        + " (formulas: `steerctl/entropy/change.py`),",
        "`<predicted>` one of " + ", ".join(f"`{name}`" for name in PREDICTED) + ", `<benchmark>` one of",
        ", ".join(f"`{name}`" for name in BENCHMARKS) + ".",
        "π is the policy at the sampling temperature. A, weight, penalty and the clip bounds are the dials after all",
        "interventions. Means over tokens run over all micro-batches and ranks.",
    ]
    for title, section in sections().items():
        lines += ["", f"## {title}", "", "| key | unit | meaning | elsewhere |", "|---|---|---|---|"]
        lines += [_row(metric) for metric in section]
    return "\n".join(lines) + "\n"


def _entries(body: str, *, timing: bool) -> Iterator[Metric]:
    head, meaning = "", ""
    for line in [*body.splitlines(), "end"]:
        if line.startswith("    "):
            meaning = f"{meaning} {line.strip()}".strip()
            continue
        if head:
            key, unit, alias = (*(part.strip() for part in head.split("|")), "")[:3]
            yield Metric(key, unit, meaning, alias, timing)
        head, meaning = line, ""


def _row(metric: Metric) -> str:
    cells = (f"`{metric.key}`", metric.unit, metric.meaning, metric.alias)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


if __name__ == "__main__":
    Path("docs/metrics.md").write_text(markdown(), encoding="utf-8")
