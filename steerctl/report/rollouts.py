"""What a file of rollouts says, on half a screen: accuracy, pass@k, lengths, verdicts, entropies."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray
from rich.table import Table
from rich.text import Text

from steerctl.errors import DataError
from steerctl.evaluation.intervals import Interval, mean_interval
from steerctl.metrics.questions import pass_at
from steerctl.store.sample_rows import read_tables

COLUMNS = (
    "problem_id", "token_ids", "prompt_ids", "verdict", "why", "status", "finish", "entropy", "engine",
    "engine_version", "model", "model_hash", "chunk", "generate_seconds", "verify_seconds",
)  # fmt: skip
EDGES = (0.0, 0.01, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, np.inf)
"""Of the entropy histogram, in nats; half of a trained policy's tokens lie in the first two bins."""
REASONS = 6
"""Reasons of verdicts that are shown, the most frequent first."""
BAR = 24
"""Cells of a full bar."""


@dataclass(frozen=True, slots=True)
class RolloutSummary:
    """What is shown of a file.

    origin     engine, version, model and its hash, as in the rows
    questions  different problems
    pass_at    k -> unbiased pass@k over the questions that were answered at least k times
    outcomes   right / wrong / no_answer / too_long / timeout / error -> responses
    reasons    why the verifier decided as it did -> responses
    seconds    of generating and of judging, over all parts
    entropy    share of the tokens per bin of `EDGES`, and the mean; None where entropies were not asked for
    """

    path: Path
    origin: tuple[str, str, str, str]
    questions: int
    responses: int
    accuracy: Interval
    pass_at: Mapping[int, float]
    lengths: NDArray[np.int64]
    prompt_length: float
    truncated: float
    outcomes: Mapping[str, int]
    reasons: Mapping[str, int]
    seconds: tuple[float, float]
    entropy: tuple[NDArray[np.float64], float] | None


def summarise(path: Path) -> RolloutSummary:
    """Read the file part by part.

    Raises:
        DataError: it cannot be read, or has no rows.
    """
    tally = _Tally()
    for table in read_tables(path, COLUMNS):
        tally.add(table)
    if not tally.verdicts:
        raise DataError(f"{path}: holds no rollouts")
    lengths = np.concatenate(tally.lengths)
    finish = tally.counts["finish"]
    tokens = tally.bins.sum()
    chunks = tally.chunks.values()
    return RolloutSummary(
        path=path,
        origin=tally.origin,
        questions=len(tally.verdicts),
        responses=len(lengths),
        accuracy=mean_interval([float(np.mean(values)) for values in tally.verdicts.values()], bounds=(0.0, 1.0)),
        pass_at=_pass_at(list(tally.verdicts.values())),
        lengths=lengths,
        prompt_length=float(np.mean(np.concatenate(tally.prompts))),
        truncated=finish["length"] / len(lengths),
        outcomes=tally.counts["outcome"],
        reasons=tally.counts["why"],
        seconds=(sum(first for first, _ in chunks), sum(second for _, second in chunks)),
        entropy=(tally.bins / tokens, tally.entropy / tokens) if tokens else None,
    )


class _Tally:
    """Sums over the rows read so far."""

    def __init__(self) -> None:
        self.verdicts: defaultdict[str, list[float]] = defaultdict(list)
        self.counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self.lengths: list[NDArray[np.int64]] = []
        self.prompts: list[NDArray[np.int64]] = []
        self.chunks: dict[int, tuple[float, float]] = {}
        self.bins = np.zeros(len(EDGES) - 1)
        self.entropy = 0.0
        self.origin = ("", "", "", "")

    def add(self, table: Any) -> None:  # noqa: ANN401 (pyarrow has no types)
        """Take in some rows."""
        if not table.num_rows:
            return
        columns = {name: table.column(name) for name in table.column_names}
        for problem, verdict in zip(columns["problem_id"].to_pylist(), columns["verdict"].to_pylist(), strict=True):
            self.verdicts[problem].append(verdict)
        for name in ("finish", "why"):
            self.counts[name].update(columns[name].to_pylist())
        judged = zip(columns["verdict"].to_pylist(), columns["status"].to_pylist(), strict=True)
        self.counts["outcome"].update(_outcome(verdict, status) for verdict, status in judged)
        self.lengths.append(pc.list_value_length(columns["token_ids"]).to_numpy().astype(np.int64))
        self.prompts.append(pc.list_value_length(columns["prompt_ids"]).to_numpy().astype(np.int64))
        timings = (columns[name].to_pylist() for name in ("chunk", "generate_seconds", "verify_seconds"))
        self.chunks |= {chunk: (first, second) for chunk, first, second in zip(*timings, strict=True)}
        names = ("engine", "engine_version", "model", "model_hash")
        self.origin = tuple(columns[name][0].as_py() for name in names)
        if "entropy" in columns:
            values = pc.list_flatten(columns["entropy"]).to_numpy()
            self.bins += np.histogram(values, EDGES)[0]
            self.entropy += float(values.sum(dtype=np.float64))


def _outcome(verdict: float, status: str) -> str:
    if status != "ok":
        return status
    return "right" if verdict == 1.0 else "wrong"


def _accuracy(found: Interval) -> str:
    if found.low is None or found.high is None:
        return f"{found.value:.1%}; one question says nothing of others like it"
    return f"{found.value:.1%}, 95 % interval {found.low:.1%} to {found.high:.1%} over questions like these"


def _pass_at(verdicts: Sequence[Sequence[float]]) -> dict[int, float]:
    """For k = 1, 2, 4, ... and the most answers every question has."""
    most = min(len(values) for values in verdicts)
    ks = sorted({most, *(2**power for power in range(most.bit_length()))})
    right = [(sum(value == 1.0 for value in values), len(values)) for values in verdicts]
    return {k: float(np.mean([pass_at(k, c, n) for c, n in right])) for k in ks}


def summary_table(summary: RolloutSummary) -> Table:
    """For the terminal."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for label, lines in _facts(summary):
        table.add_row(label, Text("\n".join(lines)))
    return table


def _facts(summary: RolloutSummary) -> Iterable[tuple[str, Sequence[str]]]:
    engine, version, model, digest = summary.origin
    accuracy, lengths, (generating, judging) = summary.accuracy, summary.lengths, summary.seconds
    tokens = int(lengths.sum())
    yield "rollouts", [f"{summary.path}: {summary.responses:,} responses to {summary.questions:,} problems"]
    yield "sampled by", [f"{engine} {version}; model {model} ({digest})"]
    yield (
        "accuracy",
        [_accuracy(accuracy)],
    )
    yield "pass@k", ["   ".join(f"{k}: {value:.1%}" for k, value in summary.pass_at.items())]
    quartiles = np.percentile(lengths, (50, 90, 100))
    spread = (
        f"mean {lengths.mean():.1f}, median {quartiles[0]:.0f}, 90 % {quartiles[1]:.0f}, "
        f"longest {quartiles[2]:.0f} tokens; prompts {summary.prompt_length:.1f}"
    )
    yield "length", [spread]
    yield "truncated", [f"{summary.truncated:.1%}"]
    yield "verdicts", ["   ".join(f"{name}: {count:,}" for name, count in _most(summary.outcomes))]
    yield "reasons", ["   ".join(f"{name[:40]}: {count:,}" for name, count in _most(summary.reasons)[:REASONS])]
    speed = tokens / generating if generating else 0.0
    yield (
        "time",
        [f"{tokens:,} tokens in {generating:.1f} s, {speed:,.0f} tokens/s; judging {judging:.1f} s"],
    )
    if summary.entropy is not None:
        yield "entropy", _histogram(*summary.entropy)


def _histogram(shares: NDArray[np.float64], mean: float) -> list[str]:
    lines = [f"mean {mean:.3f} nats per token"]
    for (low, high), share in zip(pairwise(EDGES), shares, strict=True):
        where = f"{low:g} to {high:g}" if np.isfinite(high) else f"over {low:g}"
        lines.append(f"{where:>12}  {share:6.1%}  {'█' * round(share * BAR)}")
    return lines


def _most(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))
