"""Entropy bonus: descend on −H as well, with a fixed coefficient."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from steerctl.intervention import Intervention
from steerctl.intervention._remarks import Handles, Surroundings
from steerctl.types import Dials, Need, TokenBatch, TokenStats


class EntropyBonus(Intervention):
    """Penalty −= entropy_coef · H, H the exact entropy of the token's state, with gradient.

    ∂H/∂z_b = −π_b(log π_b + H): the pull vanishes where the policy is certain and where it is uniform, and is strongest
    in between, so forks move first and the coefficient has no equilibrium of its own. Factor touched: entropy. The
    term is reduced like the policy loss (algorithm.reduction), so under another reduction the same coefficient means
    something else. It acts on every trained token, those with advantage 0 included.

    Source: A3C, arXiv 1602.01783 §4; verl `dp_actor.py` (entropy_coeff); one of the baselines of arXiv 2510.10150.

    Departures: (1) off-policy the term is not weighted by the ratio, as in verl; (2) arXiv 2510.10150 writes the term
    as −log π added to the token's coefficient, the sampled form: the same gradient on average, more variance.
    """

    kind: Literal["entropy_bonus"] = "entropy_bonus"
    needs: ClassVar[frozenset[Need]] = frozenset({"entropy_grad"})
    turns: ClassVar[Handles] = frozenset({"penalty"})
    entropy_coef: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.001
    """Coefficient (verl 0, that is off, earlier 0.001; usual sweeps 1e-4 to 1e-2)."""

    def remarks(self, around: Surroundings) -> Iterator[str]:  # noqa: ARG002 (of itself alone)
        """A coefficient of 0."""
        if self.entropy_coef == 0:
            yield "does nothing with entropy_coef 0"

    def apply(self, dials: Dials, batch: TokenBatch, stats: TokenStats) -> Dials:  # noqa: ARG002 (needs no batch)
        """The dials with the bonus taken off the penalty."""
        return replace(dials, penalty_BT=dials.penalty_BT - self.entropy_coef * stats.entropy_BT)
