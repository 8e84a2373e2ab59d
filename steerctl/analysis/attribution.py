"""Which tokens lose and gain entropy: single ones, token strings, places in the response.

`change` is any column in nats of the token table, the measured change unless said otherwise; a sum over some tokens is
in nats, and a share is of all tokens that have a value. Losses and gains are kept apart, since they nearly cancel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from steerctl.analysis.bootstrap import Vector
from steerctl.analysis.slices import Table

PARTS = 10


@dataclass(frozen=True, slots=True)
class Token:
    """One token of one response in one update, and what it lost (negative) or gained, nats."""

    change: float
    text: str
    problem_id: str
    sample: int
    position: int
    step: int
    update: int
    advantage: float
    logprob: float
    entropy: float


@dataclass(frozen=True, slots=True)
class Extremes:
    """The tokens that lost most, the largest loss first, and those that gained most, the largest gain first."""

    losing: tuple[Token, ...]
    gaining: tuple[Token, ...]


@dataclass(frozen=True, slots=True)
class Attribution:
    """What tokens with something in common did together.

    count           tokens
    total, mean     of the change, nats
    lost, gained    sums over the tokens that fell and over those that rose, nats; total = lost + gained
    share           total over that of all tokens; None where that is 0. Not a fraction: it may exceed 1 or be negative
    share_lost      lost over that of all tokens, 0 to 1; None where none fell
    share_gained    gained over that of all tokens, 0 to 1; None where none rose
    """

    label: str
    count: int
    total: float
    mean: float
    lost: float
    gained: float
    share: float | None
    share_lost: float | None
    share_gained: float | None


def extremes(table: Table, count: int = 20, *, change: str = "measured") -> Extremes:
    """The `count` tokens that lost most and those that gained most; fewer where fewer fell or rose.

    Ties go by step, update, problem, sample and position, never by the order of the table.
    """
    change_N, kept_N = _changes(table, change)
    identity = ("position", "sample", "problem_id", "update", "step")  # lexsort: the last counts most
    keys = [table[name][kept_N] for name in identity]
    falling = np.lexsort([*keys, change_N])[:count]
    rising = np.lexsort([*keys, -change_N])[:count]
    rows_N = np.flatnonzero(kept_N)
    losing = tuple(_token(table, rows_N[place], change) for place in falling if change_N[place] < 0)
    gaining = tuple(_token(table, rows_N[place], change) for place in rising if change_N[place] > 0)
    return Extremes(losing, gaining)


def by_text(table: Table, *, change: str = "measured") -> list[Attribution]:
    """One entry per token string, the one that lost most in total first."""
    change_N, kept_N = _changes(table, change)
    texts, group_N = np.unique(table["text"][kept_N].astype(str), return_inverse=True)
    found = _grouped(change_N, group_N.reshape(-1), [str(text) for text in texts])
    return sorted(found, key=lambda entry: (entry.total, entry.label))


def by_place(table: Table, *, change: str = "measured", parts: int = PARTS) -> list[Attribution]:
    """One entry per equal part of the response, from its start; a token at `position` of `length` is at their quotient.

    Parts without tokens are there, with count 0.

    Raises:
        ValueError: fewer than one part.
    """
    if parts < 1:
        raise ValueError(f"{parts} parts of a response; at least 1")
    change_N, kept_N = _changes(table, change)
    position_N, length_N = (np.asarray(table[name][kept_N], np.int64) for name in ("position", "length"))
    group_N = np.clip(position_N * parts // np.maximum(length_N, 1), 0, parts - 1)
    labels = [f"{100 * part / parts:.3g} to {100 * (part + 1) / parts:.3g} %" for part in range(parts)]
    return _grouped(change_N, group_N, labels)


def _changes(table: Table, change: str) -> tuple[Vector, NDArray[np.bool_]]:
    """The values of those tokens that have one, and which these are."""
    if change not in table:
        raise ValueError(f"this token table has no column {change!r}")
    values_N = np.asarray(table[change], dtype=np.float64)
    kept_N = np.isfinite(values_N)
    return values_N[kept_N], kept_N


def _token(table: Table, row: int, change: str) -> Token:
    def of(name: str) -> float:
        return float(table[name][row])

    return Token(
        change=of(change),
        text=str(table["text"][row]),
        problem_id=str(table["problem_id"][row]),
        sample=int(table["sample"][row]),
        position=int(table["position"][row]),
        step=int(table["step"][row]),
        update=int(table["update"][row]),
        advantage=of("advantage"),
        logprob=of("logprob"),
        entropy=of("entropy"),
    )


def _grouped(change_N: Vector, group_N: NDArray[np.int64], labels: list[str]) -> list[Attribution]:
    size = len(labels)
    count_M = np.bincount(group_N, minlength=size)
    lost_M = np.bincount(group_N, np.minimum(change_N, 0), minlength=size)
    gained_M = np.bincount(group_N, np.maximum(change_N, 0), minlength=size)
    lost, gained = float(lost_M.sum()), float(gained_M.sum())
    found = []
    for label, count, down, up in zip(labels, count_M.tolist(), lost_M.tolist(), gained_M.tolist(), strict=True):
        total = down + up
        found.append(
            Attribution(
                label=label,
                count=count,
                total=total,
                mean=total / count if count else 0.0,
                lost=down,
                gained=up,
                share=total / (lost + gained) if lost + gained else None,
                share_lost=down / lost if lost else None,
                share_gained=up / gained if gained else None,
            )
        )
    return found
