"""`intervention.Slopes` of a case whose parameters are its logits, in float64, with P = 1 or any other diagonal."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from steerctl.intervention import EntropyProducts, Population
from steerctl.loss.ppo_clip import PpoClip
from steerctl.loss.reduction import token_loss
from tests.batches import Case


@dataclass
class LogitSlopes:
    case: Case
    learning_rate: float = 0.1
    diagonal: Tensor | None = None
    total_scale: float = 1.0
    asked: list[str] = field(default_factory=list)

    def gradients(self) -> tuple[Tensor, Tensor]:
        view = self.case.view()
        surrogate_BT = PpoClip()(view.dials, view.batch, view.stats)
        loss = token_loss(view.dials, surrogate_BT, view.batch, "token_mean", 1)
        bonus = replace(view.dials, weight_BT=torch.zeros_like(surrogate_BT), penalty_BT=view.stats.entropy_BT)
        entropy = token_loss(bonus, surrogate_BT, view.batch, "token_mean", 1)
        return tuple(torch.autograd.grad(each, self.case.logits_BTV, retain_graph=True)[0] for each in (loss, entropy))

    @property
    def metric(self) -> Tensor:
        return torch.ones_like(self.case.logits_BTV) if self.diagonal is None else self.diagonal

    def products(self) -> EntropyProducts:
        self.asked.append("products")
        loss, entropy = self.gradients()
        direction = self.metric * entropy
        return EntropyProducts(float((direction * loss).sum()), float((direction * entropy).sum()))

    def sensitivities(self) -> list[Tensor]:
        self.asked.append("sensitivities")
        direction = self.metric * self.gradients()[1]
        logits = self.case.logits_BTV.detach()
        chosen_BT1 = self.case.batch.target_ids_BT[..., None]
        slope = torch.func.jvp(
            lambda z: z.log_softmax(dim=-1).gather(-1, chosen_BT1)[..., 0], (logits,), (direction.detach(),)
        )[1]
        return [torch.where(self.case.batch.loss_mask_BT, slope, 0.0)]


def with_slopes(case: Case, *, step: int = 0, update: int = 0, **settings) -> Population:
    return Population((case.view(),), lambda value: [value], step, update, LogitSlopes(case, **settings))
