"""What the figures show, as numbers: agreement over steps and sizes, clip counts, entropy against its change."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from experiments.token_changes.tokens import Tokens, chosen
from steerctl.analysis.agreement import Agreement, agreement
from steerctl.analysis.bootstrap import RESAMPLES, SEED, Clusters, Estimate, Vector, estimate, quotient

LABELS: Final = {
    "own_logit": "own logit (v4)",
    "squared": "squared (v1)",
    "exact": "exact",
    "released": "released code",
    "covariance": "covariance statistic",
    "first_order": "first order, whole update",
}
"""Columns of the token table, as figures call them."""
SHOWN: Final = ("own_logit", "released", "covariance", "first_order")
"""In figures; tables have all."""
PROBABILITIES: Final = tuple(round(0.1 * tenth, 1) for tenth in range(11))
FINE: Final = (0.0, 0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 1.0)
ENTROPIES: Final = 10
"""Bins of equally many tokens."""
ORDERED = 200

Mask = NDArray[np.bool_]
Row = dict[str, Any]


def names(tokens: Tokens) -> list[str]:
    """Predictions that the table has."""
    return [name for name in LABELS if np.isfinite(tokens[name]).any()]


def pushed(tokens: Tokens) -> dict[str, NDArray[Any]]:
    """Those whose own gradient is not 0: w ≠ 0. The others every formula but the covariance statistic calls still."""
    return chosen(tokens, tokens["coefficient"] != 0)


def slope(tokens: Tokens, name: str) -> float:
    """What a prediction must be multiplied with to fit best: 1 where it is in nats."""
    if name == "first_order":
        return 1.0
    squares = float(np.square(tokens[name]).sum())
    return float((tokens[name] * tokens["measured"]).sum()) / squares if squares else 0.0


def agrees(tokens: Tokens, name: str) -> Agreement:
    """A prediction with the measured change; in nats, or scaled to fit best."""
    scaled = tokens[name] * slope(tokens, name)
    return agreement(scaled, tokens["measured"], tokens["problem_id"], resamples=1_000, ordered=ORDERED)


def mean_of(values_N: Vector, problems_N: NDArray[Any]) -> Estimate:
    """Mean per token with its interval over problems."""
    clusters = Clusters.of(problems_N)
    draws_RP = clusters.draws(RESAMPLES, SEED)
    total_R, count_R = (draws_RP @ clusters.sums(np.stack([values_N, np.ones_like(values_N)]))).T
    return estimate(quotient(total_R, count_R))


def groups(tokens: Tokens, by: str) -> Iterator[tuple[Any, dict[str, NDArray[Any]]]]:
    """The tokens of each value of a column, by value."""
    for value in dict.fromkeys(tokens[by].tolist()):
        yield value, chosen(tokens, tokens[by] == value)


def agreement_rows(tokens: Tokens, by: Sequence[str]) -> list[Row]:
    """Agreement of every prediction, of pushed and of all tokens, by these columns and over everything."""
    rows = []
    for which, part in (("pushed", pushed(tokens)), ("all", dict(tokens))):
        for column in ("", *by):
            for value, few in groups(part, column) if column else (("", part),):
                head = {"tokens": which, "by": column or "all", "group": value}
                rows += [head | {"prediction": name, **_flat(few, name)} for name in names(part)]
    return rows


def _flat(tokens: Tokens, name: str) -> Row:
    flat = agrees(tokens, name).flat()
    flat["count"] = flat.pop("tokens")
    return {**flat, "scaled_by": slope(tokens, name)}


def clip_rows(tokens: Tokens, edges: Sequence[float]) -> list[Row]:
    """Clipped tokens by probability under the sampling policy, above (A > 0) and below (A < 0).

    rate       share of the bin's tokens that are clipped, with its interval over problems
    per_1000   clipped tokens of the bin per 1,000 tokens looked at
    """
    probability = np.exp(tokens["logprob"]) / tokens["ratio"]
    clipped, count = ~tokens["passes"].astype(bool), len(probability)
    rows = []
    for low, high in pairwise(edges):
        inside = (probability > low) & (probability <= high if high < 1 else True)
        few, cut = int(inside.sum()), clipped & inside
        nothing = Estimate(None, None, None)
        rate = mean_of(clipped[inside].astype(float), tokens["problem_id"][inside]) if few else nothing
        rows.append({
            "from": low, "to": high, "tokens": few,
            "clipped_above": int((cut & (tokens["advantage"] > 0)).sum()),
            "clipped_below": int((cut & (tokens["advantage"] < 0)).sum()),
            "per_1000": 1000 * cut.sum() / count,
            "rate": rate.value, "rate_low": rate.low, "rate_high": rate.high,
        })  # fmt: skip
    return rows


def entropy_rows(tokens: Tokens) -> list[Row]:
    """The change by the entropy before it, in bins of equally many tokens."""
    edges = np.quantile(tokens["entropy"], np.linspace(0, 1, ENTROPIES + 1))
    place = np.clip(np.searchsorted(edges, tokens["entropy"], side="right") - 1, 0, ENTROPIES - 1)
    rows = []
    for index in range(ENTROPIES):
        few = chosen(tokens, place == index)
        row: Row = {"from": edges[index], "to": edges[index + 1], "tokens": len(few["entropy"])}
        if row["tokens"]:
            row["entropy"] = float(few["entropy"].mean())
            for name, values in (("change", few["measured"]), ("size", np.abs(few["measured"]))):
                found = mean_of(values, few["problem_id"])
                row |= {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}
        rows.append(row)
    return rows
