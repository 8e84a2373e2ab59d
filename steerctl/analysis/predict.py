"""What every formula foretells of the probed tokens of one update: the prediction columns of the token table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from steerctl.entropy.change import Means, clip_indicator, entropy_change, quadrant, score
from steerctl.intervention import View
from steerctl.types import Dials, TokenBatch, TokenStats

Columns = dict[str, NDArray[Any]]
"""Columns of the token table (columns.py) by name, each [N]."""

OWN: Final[tuple[Literal["exact", "own_logit", "squared", "released", "covariance"], ...]] = (
    "exact", "own_logit", "squared", "released", "covariance",
)  # fmt: skip
"""Estimators of entropy/change.py that need nothing but the token and, for the last one, means."""
FACTORS: Final = ("advantage", "weight", "ratio", "passes", "coefficient", "logprob", "entropy", "mean_score")
"""What they are made of, columns as well."""
MAX_LOG_RATIO: Final = 20.0


def update_means(
    views: Sequence[View], all_gather: Callable[[Any], list[Any]], *, dual_clip: float | None = None
) -> Means:
    """Means of w and log π over all trained tokens of the update and all ranks, float64; collective.

    views  this rank's micro-batches of the update
    """
    sums = np.zeros(3)
    for view in views:
        tokens = _Tokens(view, view.batch.loss_mask_BT, dual_clip)
        sums += [float(tokens.coefficient.sum()), float(tokens.logprob.sum()), tokens.logprob.numel()]
    weight, logprob, count = np.sum(all_gather(sums), axis=0).tolist()
    return Means(weight / max(count, 1.0), logprob / max(count, 1.0))


@torch.no_grad()
def predictions(
    view: View,
    mask_BT: Tensor,
    means: Means,
    *,
    dual_clip: float | None = None,
    sensitivity_BT: Tensor | None = None,
) -> Columns:
    """The factors and predictions of the tokens of `mask_BT`, row-major, float64 [N].

    Everything is of the policy just before the optimiser step: `view` holds the dials and statistics that the update's
    loss was made of. With w = weight·I_clip·r·A and V the vocabulary, the two population forms (entropy/change.py's
    `covariance_population`) are taken with w on the sampled token and 0 on the V − 1 others, where they have closed
    forms: population = −w·π(S_a − S̄), that is π·exact, and population_natural = −w·S_a, because Σ_b S_b = 0.

    I_clip is 0 where a clip fraction of the metrics counts the token; `released` takes weight·A for A, as there. w is
    the factor in front of ∇log π of the surrogate `ppo_clip`; where another has another, the formulas are about a loss
    that was not taken.

    dual_clip       of the surrogate, if it has one
    sensitivity_BT  ⟨∇log π, P g_H⟩; without it there is no column `influence`
    """
    tokens = _Tokens(view, mask_BT, dual_clip)
    weighted = tokens.weight * tokens.advantage
    own: dict[str, Tensor] = {
        name: entropy_change(
            name,
            weight=tokens.coefficient,
            logprobs=tokens.logprob,
            entropy=tokens.entropy,
            mean_score=tokens.mean_score,
            advantages=weighted,
            old_logprobs=tokens.old_logprob,
            means=means,
        )
        for name in OWN
    }
    found: dict[str, Tensor] = {
        **{name: getattr(tokens, name) for name in FACTORS},
        "quadrant": quadrant(tokens.advantage, tokens.logprob, tokens.entropy),
        "quadrant_exact": quadrant(
            tokens.advantage, tokens.logprob, tokens.entropy, tokens.mean_score, boundary="exact"
        ),
        **own,
        "population": tokens.logprob.exp() * own["exact"],
        "population_natural": -tokens.coefficient * score(tokens.logprob, tokens.entropy),
    }
    if sensitivity_BT is not None:
        sensitivity = sensitivity_BT[mask_BT].double()
        found["influence"] = entropy_change(
            "influence", weight=tokens.coefficient, logprobs=tokens.logprob, sensitivity=sensitivity
        )
    return {name: value.cpu().numpy() for name, value in found.items()}


class _Tokens:
    """Statistics and dials of the tokens of a mask, float64 [N]."""

    def __init__(self, view: View, mask_BT: Tensor, dual_clip: float | None) -> None:
        dials: Dials = view.dials
        batch: TokenBatch = view.batch
        stats: TokenStats = view.stats

        def pick(values_BT: Tensor) -> Tensor:
            return values_BT.detach()[mask_BT].double()

        self.advantage, self.weight = pick(dials.advantages_BT), pick(dials.weight_BT)
        self.logprob, self.entropy = pick(stats.logprobs_BT), pick(stats.entropy_BT)
        self.mean_score, self.old_logprob = pick(stats.mean_score_BT), pick(batch.old_stats.logprobs_BT)
        self.ratio = (self.logprob - self.old_logprob).clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO).exp()
        self.passes = clip_indicator(
            self.ratio, self.advantage, pick(dials.clip_low_BT), pick(dials.clip_high_BT), dual_clip
        )
        self.coefficient = self.weight * self.passes * self.ratio * self.advantage
