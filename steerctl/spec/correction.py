"""What a token counts when it was sampled by another policy than the one that is trained."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from steerctl.plugins import Strict

Level = Literal["token", "sequence", "geometric"]
"""
token      ρ_t of each token by itself
sequence   Π ρ_t of the response, at each of its tokens
geometric  (Π ρ_t)^(1/n) of the response, n its tokens, at each of its tokens
"""
Bound = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Bounded(Strict):
    level: Level = "token"
    """What is held against the bounds: the ratio of a token, of the response (product), or the geometric mean of the
    response's ratios."""

    @model_validator(mode="after")
    def _bounds_hold_one(self) -> _Bounded:
        low, high = getattr(self, "low", 0.0), getattr(self, "high", 1.0)
        if not low <= 1 <= high:
            raise ValueError(f"low ({low:g}) and high ({high:g}) must enclose 1, the ratio of a token without mismatch")
        return self


class TruncatedCorrection(_Bounded):
    """Truncated importance sampling (TIS): weight clamp(ρ, low, high), ρ = π_old(trainer) / π(sampler)."""

    kind: Literal["truncated"] = "truncated"
    low: Bound = 0.0
    """Smaller ratios count as this one (verl: no bound; OpenRLHF 0.5)."""
    high: Bound = 2.0
    """Larger ratios count as this one (verl 2; its documentation: 1.5 to 5 per token, 2 to 10 per sequence)."""


class MaskedCorrection(_Bounded):
    """Masked importance sampling (MIS, IcePop): weight ρ within [low, high], else 0."""

    kind: Literal["masked"] = "masked"
    low: Bound = 0.5
    """Smaller ratios are left out (IcePop 0.5; geometric in verl 0.999; TRL's sequence mask 0)."""
    high: Bound = 5.0
    """Larger ratios are left out (IcePop 5; geometric in verl 1.001; TRL's sequence mask 3)."""
    weigh: bool = True
    """Weigh what is kept by ρ (IcePop, TRL); false: by 1, which is rejection alone (verl)."""


CorrectionSpec = Annotated[TruncatedCorrection | MaskedCorrection, Field(discriminator="kind")]
