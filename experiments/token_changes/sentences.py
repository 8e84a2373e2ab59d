"""One sentence per figure: the result, with numbers and intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from experiments.token_changes.measures import LABELS, Row, mean_of, pushed
from experiments.token_changes.tokens import Tokens
from steerctl.analysis.agreement import agreement
from steerctl.analysis.bootstrap import Estimate

FOUND = (("pearson", "Pearson"), ("spearman", "Spearman"), ("sign", "the same sign in"))


def of(found: Estimate, form: str = ".2f") -> str:
    """A value with its interval."""
    if found.value is None or found.low is None or found.high is None:
        return "-" if found.value is None else f"{found.value:{form}}"
    return f"{found.value:{form}} ({found.low:{form}} to {found.high:{form}})"


def _row(row: Row, measure: str) -> str:
    return of(Estimate(row[measure], row[f"{measure}_low"], row[f"{measure}_high"]))


def about_steps(rows: Sequence[Row], tokens: Tokens) -> str:
    few = pushed(tokens)
    parts = [
        f"{LABELS[row['prediction']]}: {', '.join(f'{label} {_row(row, name)}' for name, label in FOUND)}"
        for row in rows
        if (row["tokens"], row["by"]) == ("pushed", "all")
        and row["prediction"] in ("own_logit", "covariance", "first_order")
    ]
    return (
        f"Over the first {int(few['step'].max())} steps ({len(few['step']):,} tokens with w ≠ 0 of "
        f"{len(np.unique(few['problem_id'])):,} problems) predictions agree with the measured change of a token's "
        f"entropy thus: {'; '.join(parts)}.\n"
    )


def about_clips(rows: Sequence[Row], tokens: Tokens) -> str:
    """rows: of bins that have 0.1 among their edges."""
    clipped = ~tokens["passes"].astype(bool)
    rare = np.exp(tokens["logprob"]) / tokens["ratio"] <= 0.1
    everywhere = mean_of(1000 * clipped.astype(float), tokens["problem_id"])
    cut, some = (
        mean_of(100 * rare[mask].astype(float), tokens["problem_id"][mask]) for mask in (clipped, clipped >= 0)
    )
    likely = rows[-1]
    low, high = (
        of(mean_of(100 * clipped[mask].astype(float), tokens["problem_id"][mask]), ".1f") for mask in (rare, ~rare)
    )
    return (
        f"In the first {int(tokens['step'].max())} steps {of(everywhere, '.1f')} of 1,000 tokens are clipped; tokens "
        f"sampled with a probability of at most 0.1 are {of(some, '.0f')} % of all and {of(cut, '.0f')} % of the "
        f"clipped ones, and {low} % of them are clipped, of the others {high} %; with a probability over "
        f"{likely['from']:g} it is {100 * (likely['rate'] or 0):.2f} %.\n"
    )


def about_entropies(rows: Sequence[Row], tokens: Tokens) -> str:
    signed = agreement(tokens["entropy"], tokens["measured"], tokens["problem_id"], ordered=200).measures
    sized = agreement(tokens["entropy"], np.abs(tokens["measured"]), tokens["problem_id"], ordered=200).measures
    first, last = rows[0], rows[-1]
    top = Estimate(*(last[name] for name in ("change", "change_low", "change_high")))
    return (
        f"A state's entropy and its measured change have Pearson {of(signed['pearson'])} and Spearman "
        f"{of(signed['spearman'])}, the change's absolute value Spearman {of(sized['spearman'])}: the tenth of the "
        f"tokens with the least entropy moves by {first['size']:.1g} nats on average, the tenth with the most by "
        f"{last['size']:.1g}, of which {of(top, '.3f')} remain as the mean change.\n"
    )


def about_histograms(sizes: Mapping[str, Tokens]) -> str:
    parts = []
    for size, tokens in sizes.items():
        few = pushed(tokens)
        change = few["measured"]
        falls = mean_of(100 * (change < 0).astype(float), few["problem_id"])
        squares = np.sort(np.square(change))[::-1]
        tail = squares[: max(1, len(squares) // 100)].sum() / squares.sum()
        parts.append(
            f"{size}: {of(falls, '.0f')} % fall, half change by less than {np.median(np.abs(change)):.1g} nats, and "
            f"the 1 % that change most have {100 * tail:.0f} % of the sum of squares"
        )
    return f"Of the tokens with w ≠ 0, {'; '.join(parts)}.\n"


def about_scatters(rows: Sequence[Row]) -> str:
    """rows: agreement by size."""
    parts = []
    for name in ("own_logit", "covariance", "first_order"):
        own = [row for row in rows if (row["tokens"], row["by"], row["prediction"]) == ("pushed", "size", name)]
        if own:
            shown = (f"{row['group']} {_row(row, 'pearson')} and {_row(row, 'spearman')}" for row in own)
            parts.append(f"{LABELS[name]}: {', '.join(shown)}")
    return f"Pearson and Spearman with the measured change, tokens with w ≠ 0, by policy: {'; '.join(parts)}.\n"
