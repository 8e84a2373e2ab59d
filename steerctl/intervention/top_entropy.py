"""Top-entropy mask ("80/20"): only the tokens where the policy was least sure are trained."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field

from steerctl.intervention import Intervention, Population, Turn
from steerctl.intervention._change import EntropySource, statistics_of
from steerctl.intervention._remarks import Handles, Surroundings, denominator_remarks
from steerctl.intervention._select import gather_ordered, largest, scoped, token_ids
from steerctl.intervention._weights import weighted
from steerctl.types import Dials, Scope, TokenBatch, TokenStats


class TopEntropy(Intervention):
    """Weight *= 1 on the ⌈fraction·N⌉ of `scope`'s N tokens with the highest H, 0 elsewhere. Detached.

    denominator  selected  kept weights are scaled by N/⌈fraction·N⌉, so that token_mean is the mean over kept tokens
                 all       they stay 1: the same gradient 1/fraction times smaller

    Factor touched: entropy. Penalties (KL, bonuses) of dropped tokens stay, as in TRL.

    Presets, each an entry of algorithm.interventions:

        paper: {kind: top_entropy}
        released: {kind: top_entropy, scope: micro_batch}
        trl: {kind: top_entropy, scope: update, denominator: all}
        ms_swift: {kind: top_entropy, scope: micro_batch, denominator: all}

    Source: arXiv 2506.01939 (fraction 0.2, DAPO otherwise); Shenzhi-Wang/Beyond-the-80-20-Rule-RLVR
    `core_algos.get_global_entropy_top_mask`, `dp_actor.py`; TRL `grpo_trainer.py` (top_entropy_quantile).

    Departures: (1) among equals the token with the smaller index is kept, and never more than ⌈fraction·N⌉ (TRL's
    threshold keeps every tie); (2) `selected` means what it says under reduction token_mean; under the others it is the
    same common factor; (3) with scope micro_batch and `selected` micro-batches count by their tokens, where the
    released code takes the mean of their means.
    """

    kind: Literal["top_entropy"] = "top_entropy"
    turns: ClassVar[Handles] = frozenset({"weight"})
    fraction: Annotated[float, Field(ge=0, le=1)] = 0.2
    """Share of tokens that is kept (paper 0.2)."""
    denominator: Literal["selected", "all"] = "selected"
    """What token_mean divides by (the released code: selected; TRL and ms-swift: all)."""
    scope: Scope = "update"
    """Tokens that are ranked (the released code: one micro-batch of one rank)."""
    entropy_source: EntropySource = "live"
    """Whose entropy: the current policy's (released code), or that of the step's start."""

    def remarks(self, around: Surroundings) -> Iterator[str]:
        """All tokens or none, or a denominator with another meaning."""
        if self.fraction in (0, 1):
            yield f"{'keeps every' if self.fraction else 'trains no'} token with fraction {self.fraction:g}"
        elif self.denominator == "selected":
            yield from denominator_remarks(around, "denominator selected")

    def prepare(self, population: Population) -> Turn:
        """The turn that keeps the population's top tokens."""
        return scoped(self.scope, population, self._turn)

    def _turn(self, population: Population) -> Turn:
        def entropy(_dials: Dials, batch: TokenBatch, stats: TokenStats) -> torch.Tensor:
            return statistics_of(self.entropy_source, batch, stats).entropy_BT

        gathered = gather_ordered(population, entropy)
        num_tokens = gathered.ids_N.numel()
        kept_N = largest(gathered.ids_N, gathered.values[0], ceil(self.fraction * num_tokens))
        weight = num_tokens / max(kept_N.numel(), 1) if self.denominator == "selected" else 1.0

        def turn(dials: Dials, batch: TokenBatch, stats: TokenStats) -> Dials:  # noqa: ARG001 (chosen already)
            kept_BT = torch.isin(token_ids(batch), kept_N)
            return weighted(dials, batch, torch.where(kept_BT, weight, 0.0))

        return turn
