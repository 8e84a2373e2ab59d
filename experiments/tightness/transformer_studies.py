"""The questions of the transformer study, put to its tokens."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from transformer_results import FALL, FIRST, FORMS, LATER, OWN, PARTS, TOTALS, Cell, Line, Results, Share, Tail

from steerctl.analysis.agreement import agreement
from steerctl.analysis.shares import decomposition

Tokens = Mapping[str, NDArray[Any]]
Mask = NDArray[np.bool_]

PUSHES = (0.0, 0.001, 0.01, 0.1, 1.0, math.inf)
"""Edges of the bins by |w|(1 − π), a token's push on its own logit; the upper one belongs to the bin."""
SMALL = (("AdamW", 1e-5), ("SGD", 1e-2))
"""Where first order is tight under either optimiser: what a formula misses there is no matter of step size."""
SINGLE = (("AdamW", 1e-4), ("AdamW", 2e-4), ("AdamW", 4e-4), ("SGD", 1e-2), ("SGD", 0.1))
"""Where each update of each seed is looked at alone."""
RESAMPLES = 400


def study(tokens: Tokens, extra: Tokens, trained_at: float, rates: Mapping[str, Sequence[float]]) -> Results:
    """Every question.

    tokens  of runs trained at `trained_at`, taken apart at the `rates` of both optimisers
    extra   of runs trained at other rates: their updates as they were
    """
    cells = [Cell(name, rate, trained_at, FIRST) for name, several in rates.items() for rate in several]
    late = Cell("AdamW", trained_at, trained_at, LATER)
    lines = chain(
        _sweep(tokens, cells),
        _numbered(tokens, extra, trained_at),
        *(_forms(tokens, replace(late, optimiser=name, learning_rate=rate)) for name, rate in SMALL),
        _forms(tokens, late),
        _forms(tokens, replace(late, updates=FIRST)),
        _pushes(tokens, late),
        _means(tokens, replace(late, updates="all updates")),
        *(_singles(tokens, replace(late, optimiser=name, learning_rate=rate)) for name, rate in SINGLE),
        *(_singles(extra, replace(late, learning_rate=rate, trained_at=rate)) for rate in _rates(extra)),
    )
    shares = [share for cell in cells for share in _shares(tokens, cell)]
    sizes = {
        replace(cell, updates=name): float(np.abs(tokens["measured"][at(tokens, cell) & group]).mean())
        for cell in cells
        for name, group in moments(tokens).items()
    }
    tails = [_tail(tokens, replace(cell, updates=LATER)) for cell in cells] if LATER in moments(tokens) else []
    return Results(list(lines), shares, tails, sizes, trained_at, rates)


def moments(tokens: Tokens) -> dict[str, Mask]:
    """Groups of updates by name: the very first, those after it, and each step's (the first one's without 1.1)."""
    step, update = tokens["step"], tokens["update"]
    first = (step == 1) & (update == 1)
    groups = {FIRST: first, LATER: ~first}
    for number in np.unique(step).tolist():
        last = int(update[step == number].max())
        groups[f"updates 1.2 to 1.{last}" if number == 1 else f"step {number}"] = (step == number) & ~first
    return {name: mask for name, mask in groups.items() if mask.any()}


def at(tokens: Tokens, cell: Cell) -> Mask:
    """The cell's optimiser and rates."""
    mask: Mask = (tokens["optimiser"] == cell.optimiser) & np.isclose(tokens["learning_rate"], cell.learning_rate)
    return mask & np.isclose(tokens["trained_at"], cell.trained_at)


def predicted(tokens: Tokens, name: str) -> NDArray[np.float64]:
    """A column, the sum of some, or FALL."""
    if name == FALL:
        return np.full(len(tokens["measured"]), -1.0)
    total: NDArray[np.float64] = np.sum([tokens[part] for part in name.split("+")], axis=0)
    return total


def pushes(tokens: Tokens) -> dict[str, Mask]:
    """Bins of PUSHES by name, and the tokens without any."""
    push = np.abs(tokens["coefficient"]) * -np.expm1(np.minimum(tokens["logprob"], 0))
    groups = {"0": push == 0}
    for low, high in pairwise(PUSHES):
        name = f"over {low:g}" if high == math.inf else f"{low:g} to {high:g}"
        groups[name] = (push > low) & (push <= high)
    return groups


class _Chosen:
    """Tokens of a table, and what they are called."""

    def __init__(self, tokens: Tokens, mask: Mask, cell: Cell) -> None:
        self.tokens, self.mask, self.cell = tokens, mask, cell

    def line(self, study: str, prediction: str, truth: str = "measured") -> Line:
        """How a prediction agrees with the truth on them."""
        tokens, mask = self.tokens, self.mask
        step = tokens["learning_rate"][mask] if prediction in FORMS else 1.0
        found = agreement(
            predicted(tokens, prediction)[mask], tokens[truth][mask], tokens["problem_id"][mask],
            step_size=step, resamples=RESAMPLES,
        )  # fmt: skip
        return Line(study, self.cell, prediction, truth, found)


def _sweep(tokens: Tokens, cells: Sequence[Cell]) -> Iterator[Line]:
    """First order, with and without the second, over learning rates."""
    groups = moments(tokens)
    for cell in cells:
        for name, group in groups.items():
            chosen = _Chosen(tokens, at(tokens, cell) & group, replace(cell, updates=name))
            for prediction in TOTALS:
                yield chosen.line("rates", prediction)


def _numbered(tokens: Tokens, extra: Tokens, trained_at: float) -> Iterator[Line]:
    """Every update as it was, by its number."""
    for table, rate in ((tokens, trained_at), *((extra, rate) for rate in _rates(extra))):
        for step, update in sorted(set(zip(table["step"].tolist(), table["update"].tolist(), strict=True))):
            cell = Cell("AdamW", rate, rate, f"{step}.{update}")
            mask = at(table, cell) & (table["step"] == step) & (table["update"] == update)
            for prediction in TOTALS:
                yield _Chosen(table, mask, cell).line("numbered", prediction)


def _forms(tokens: Tokens, cell: Cell) -> Iterator[Line]:
    """Own-state terms and formulas against the measured change, and the formulas against the true own-state term."""
    groups = moments(tokens)
    if cell.updates not in groups:
        return
    whole = _Chosen(tokens, at(tokens, cell) & groups[cell.updates], cell)
    pushed = _Chosen(tokens, whole.mask & (tokens["coefficient"] != 0), replace(cell, tokens="pushed"))
    for chosen in (whole, pushed):
        for prediction in (TOTALS[0], FALL, *OWN):
            yield chosen.line("forms", prediction)
    for prediction in FORMS:
        yield pushed.line("forms", prediction, "own_state")


def _pushes(tokens: Tokens, cell: Cell) -> Iterator[Line]:
    """By how hard the token's own gradient pushes."""
    groups = moments(tokens)
    if cell.updates not in groups:
        return
    mask = at(tokens, cell) & groups[cell.updates]
    for name, group in pushes(tokens).items():
        if (mask & group).sum() > 2:
            chosen = _Chosen(tokens, mask & group, replace(cell, tokens=name))
            for prediction in (TOTALS[0], "own_state"):
                yield chosen.line("pushes", prediction)


def _means(tokens: Tokens, cell: Cell) -> Iterator[Line]:
    """The mean change of each update's tokens; here updates are what is resampled."""
    mask = at(tokens, cell)
    number = (tokens["seed"] * 10_000 + tokens["step"]) * 100 + tokens["update"]
    updates = [mask & (number == each) for each in np.unique(number[mask])]
    truth = np.array([tokens["measured"][update].mean() for update in updates])
    for prediction in (TOTALS[0], FALL, "own_state", *FORMS):
        values = predicted(tokens, prediction)
        means = np.array([values[update].mean() for update in updates])
        found = agreement(means, truth, np.arange(len(updates)), resamples=RESAMPLES)
        yield Line("means", cell, prediction, "measured", found)


def _singles(tokens: Tokens, cell: Cell) -> Iterator[Line]:
    """Each update of each seed by itself; and whether a larger gradient leaves a larger remainder."""
    here, lines = at(tokens, cell), []
    norms: list[float] = []
    keys = np.unique([tokens[name][here] for name in ("seed", "step", "update")], axis=1).T.tolist()
    for seed, step, update in keys:
        mask = here & (tokens["seed"] == seed) & (tokens["step"] == step) & (tokens["update"] == update)
        lines.append(
            _Chosen(tokens, mask, replace(cell, updates=f"{step}.{update} of seed {seed}")).line("singles", TOTALS[0])
        )
        norms.append(float(tokens["grad_norm"][mask][0]))
    yield from lines
    left = np.array([1 - (line.found.measures["r2"].value or 0.0) for line in lines])
    found = agreement(np.array(norms), np.sqrt(np.maximum(left, 0)), np.arange(len(lines)), resamples=RESAMPLES)
    yield Line("norms", replace(cell, updates="each update"), "grad_norm", "remainder / change", found)


def _rates(extra: Tokens) -> list[float]:
    rates: list[float] = np.unique(extra["trained_at"]).tolist()
    return rates


def _tail(tokens: Tokens, cell: Cell) -> Tail:
    """How few tokens make the remainder."""
    mask = at(tokens, cell) & moments(tokens)[cell.updates]
    order = np.argsort(-np.abs(tokens["remainder"][mask]))
    first, change = tokens["first_order"][mask][order], tokens["measured"][mask][order]
    square = np.cumsum((change - first) ** 2)
    half, most = (1 + int(np.searchsorted(square, share * square[-1])) for share in (0.5, 0.9))
    few = -(-len(order) // 100)
    return Tail(
        cell, len(order), half, most,
        float(np.corrcoef(first, change)[0, 1]), float(np.corrcoef(first[few:], change[few:])[0, 1]),
    )  # fmt: skip


def _shares(tokens: Tokens, cell: Cell) -> Iterator[Share]:
    """The parts of the measured change, in every group of updates."""
    columns = {**tokens, "others": tokens["interference"] - tokens["carried"]}
    for name, group in moments(tokens).items():
        mask, here = at(tokens, cell) & group, replace(cell, updates=name)
        parts = {part: columns[part][mask] for part in PARTS}
        found = decomposition(parts, tokens["problem_id"][mask])
        for part, values in parts.items():
            yield Share(here, part, float(np.abs(values).mean()), found[part])
