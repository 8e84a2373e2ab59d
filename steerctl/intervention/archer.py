"""Archer: wide clip and no KL where a response is unsure, narrow clip and KL where it is not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field, NonNegativeFloat
from torch import Tensor

from steerctl.intervention import Intervention, Population, Turn
from steerctl.intervention._change import EntropySource, statistics_of
from steerctl.intervention._fields import Coefficient
from steerctl.intervention._remarks import CLIP, Handles, OnlyWith, Surroundings, denominator_remarks
from steerctl.intervention._select import gather_ordered, scoped
from steerctl.intervention.kl import Kl
from steerctl.types import Dials, Need, Scope, TokenBatch, TokenStats


class Archer(Intervention):
    """A token is "reasoning" where its H exceeds the quantile of its own response's tokens, else "knowledge".

               the ratio is held in                    penalty
    knowledge  [1 − knowledge_clip, 1 + knowledge_clip]  += knowledge_kl_coef · k3 against the reference
    reasoning  [1 − reasoning_clip, 1 + reasoning_clip]  += reasoning_kl_coef · k3

    H and the classes are detached; k3 is that of intervention `kl`, with its clamps. The quantile interpolates. Factors
    touched: clip, entropy. A response of one token is knowledge.

    kl_denominator  selected  each class's penalty is scaled by the tokens of `scope` over its own, so that token_mean
                              is the mean over the class
                    all       it is not: with quantile 0.8 the knowledge penalty is about 0.8 times as large

    Presets, each an entry of algorithm.interventions:

        paper: {kind: archer}
        released: {kind: archer, scope: micro_batch}

    Source: arXiv 2507.15778; wizard-III/ArcherCodeR (`high_entropy_mask` there marks the low-entropy tokens), with
    ppo_epochs 3, loss.dual_clip 10, G 16, token_mean.

    Departures: (1) class sizes are counted over the update on all ranks, theirs over a micro-batch; (2) a response is
    trained once in a step here, three times there, where a token can change its class between; `old` fixes it (ours).
    """

    kind: Literal["archer"] = "archer"
    needs: ClassVar[frozenset[Need]] = frozenset({"reference"})
    turns: ClassVar[Handles] = CLIP | {"penalty"}
    replaces: ClassVar[Handles] = CLIP
    quantile: Annotated[float, Field(ge=0, le=1)] = 0.8
    """Share of knowledge tokens in each response (paper 0.8)."""
    knowledge_clip: NonNegativeFloat = 0.2
    """ε where H is low (paper 0.2)."""
    reasoning_clip: NonNegativeFloat = 0.5
    """ε where H is high (paper 0.5)."""
    knowledge_kl_coef: Coefficient = 0.001
    """KL coefficient where H is low (paper 0.001)."""
    reasoning_kl_coef: Coefficient = 0.0
    """KL coefficient where H is high (paper 0)."""
    kl_denominator: Literal["selected", "all"] = "selected"
    """What token_mean divides each class's penalty by (code: selected)."""
    entropy_source: EntropySource = "live"
    """Whose entropy: the current policy's (code), or that of the step's start."""
    scope: Annotated[Scope, OnlyWith(kl_denominator="selected")] = "update"
    """Tokens behind the class sizes of `selected` (code: one micro-batch)."""

    def remarks(self, around: Surroundings) -> Iterator[str]:
        """Where its bounds or its denominators lose their meaning."""
        penalised = self.knowledge_kl_coef > 0 or self.reasoning_kl_coef > 0
        if around.on_policy:
            rest = "only its KL is left" if penalised else "with both KL coefficients 0 it does nothing"
            yield f"its clip bounds are never reached with optim.updates_per_step 1: {rest}"
        if penalised and self.kl_denominator == "selected":
            yield from denominator_remarks(around, "kl_denominator selected")

    @property
    def population_scope(self) -> Scope:
        """As set, where class sizes are counted."""
        return self.scope if self.kl_denominator == "selected" else "micro_batch"

    def prepare(self, population: Population) -> Turn:
        """The turn, with the class sizes of its population."""
        return scoped(self.population_scope, population, self._turn)

    def _turn(self, population: Population) -> Turn:
        knowledge_coef, reasoning_coef = self.knowledge_kl_coef, self.reasoning_kl_coef
        if self.kl_denominator == "selected":
            (reasoning_N,) = gather_ordered(population, self._is_reasoning).values
            num_tokens, num_reasoning = reasoning_N.numel(), int(reasoning_N.sum())
            knowledge_coef *= num_tokens / max(num_tokens - num_reasoning, 1)
            reasoning_coef *= num_tokens / max(num_reasoning, 1)
        penalty = Kl(estimator="k3", kl_coef=1.0)

        def turn(dials: Dials, batch: TokenBatch, stats: TokenStats) -> Dials:
            reasoning_BT = self._is_reasoning(dials, batch, stats)
            clip_BT = torch.where(reasoning_BT, self.reasoning_clip, self.knowledge_clip).to(dials.clip_low_BT.dtype)
            coef_BT = torch.where(reasoning_BT, reasoning_coef, knowledge_coef)
            nothing = replace(dials, penalty_BT=torch.zeros_like(dials.penalty_BT))
            kl_BT = penalty.apply(nothing, batch, stats).penalty_BT
            penalty_BT = dials.penalty_BT + torch.where(batch.loss_mask_BT, coef_BT * kl_BT, torch.zeros_like(kl_BT))
            return replace(dials, clip_low_BT=clip_BT, clip_high_BT=clip_BT, penalty_BT=penalty_BT)

        return turn

    def _is_reasoning(self, _dials: Dials, batch: TokenBatch, stats: TokenStats) -> Tensor:
        entropy_BT = statistics_of(self.entropy_source, batch, stats).entropy_BT.detach()
        own_BT = entropy_BT.masked_fill(~batch.loss_mask_BT, torch.nan)
        return (entropy_BT > own_BT.nanquantile(self.quantile, dim=1, keepdim=True)) & batch.loss_mask_BT
