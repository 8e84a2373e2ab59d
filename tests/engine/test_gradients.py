"""Gradients taken from real ranks at every stage, against plain torch in float64."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from steerctl.engine.gradients import dot, preconditioned, require_finite
from steerctl.engine.optimizer import ClippingAdamW
from steerctl.entropy.stats import stats_from_logits
from steerctl.errors import NonFiniteError
from steerctl.spec.experiment import OptimSpec
from steerctl.types import TokenStats
from tests.engine.test_policy import run_ranks
from tests.engine.toy import toy_loss, toy_update, write_toy_model

pytestmark = pytest.mark.engine

STAGES = {f"stage{stage}": {"stage": stage} for stage in (0, 1, 3)}
PAIRS = [("stage0", 1), ("stage3", 1), ("stage0", 2), ("stage1", 2), ("stage3", 2)]
BFLOAT16 = {"bf16_stage3": {"stage": 3, "dtype": "bfloat16"}}
MOMENTS = ("fresh", "later")


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[int, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("gradients")
    model = str(write_toy_model(folder / "plain"))
    found = {}
    for ranks in (1, 2):
        names = [*(name for name, count in PAIRS if count == ranks), *(BFLOAT16 if ranks == 2 else ())]
        cases = [{"name": name, "model": model, **(STAGES | BFLOAT16)[name]} for name in names]
        found[ranks] = run_ranks(folder, "take", ranks, cases, worker="gradients_worker.py")
    return found | {0: plain_torch(folder / "plain")}


@dataclass(frozen=True)
class Plain:
    """A float64 model, its log-probabilities and entropies, and AdamW's second moment, by hand."""

    model: Any
    second: list[Tensor]
    updates: int

    def gradients(self, index: int) -> tuple[list[Tensor], list[Tensor]]:
        loss, entropy = torch.zeros((), dtype=torch.float64), torch.zeros((), dtype=torch.float64)
        for batch in toy_update(index, 0, 1):
            stats = self.stats(batch)
            loss = loss + toy_loss(stats, batch)
            entropy = entropy + stats.entropy_BT[batch.loss_mask_BT].sum() / batch.num_tokens
        parameters = list(self.model.parameters())
        return (
            list(torch.autograd.grad(loss, parameters, retain_graph=True)),
            list(torch.autograd.grad(entropy, parameters)),
        )

    def stats(self, batch: Any) -> Any:
        mask = batch.loss_mask_BT
        rows = stats_from_logits(
            self.model(batch.input_ids_BT).logits[mask], batch.target_ids_BT[mask], temperature=0.9
        )
        values = (rows.logprobs_N, rows.entropy_N, rows.mean_score_N, rows.collision_N)
        return TokenStats(
            *(torch.zeros(mask.shape, dtype=torch.float64).masked_scatter(mask, value) for value in values)
        )

    def probe(self, index: int) -> dict[str, Any]:
        loss, entropy = self.gradients(index)
        correction = 1 - 0.999 ** (self.updates + 1)
        direction = [
            h / (((0.999 * v + 0.001 * torch.maximum(g**2, h**2)) / correction).sqrt() + 1e-8)
            for g, h, v in zip(loss, entropy, self.second, strict=True)
        ]
        return {
            "against": sum(float((d * g).sum()) for d, g in zip(direction, loss, strict=True)),
            "own": sum(float((d * h).sum()) for d, h in zip(direction, entropy, strict=True)),
            "slopes": self.slopes(direction, index),
        }

    def slopes(self, direction: list[Tensor], index: int, *, of: str = "logprobs") -> dict[str, list[float]]:
        """By forward-mode differentiation."""
        names = [name for name, _ in self.model.named_parameters()]
        primal = {name: value.detach() for name, value in self.model.named_parameters()}
        tangent = dict(zip(names, direction, strict=True))
        found = {}
        for batch in toy_update(index, 0, 1):

            def statistic(parameters: dict[str, Tensor], batch: Any = batch) -> Tensor:
                logits_BTV = torch.func.functional_call(self.model, parameters, (batch.input_ids_BT,)).logits / 0.9
                logp_BTV = logits_BTV.log_softmax(dim=-1)
                if of == "entropy":
                    return -(logp_BTV.exp() * logp_BTV).sum(dim=-1)
                return logp_BTV.gather(-1, batch.target_ids_BT[..., None])[..., 0]

            slope_BT = torch.func.jvp(statistic, (primal,), (tangent,))[1]
            rows = zip(batch.row_B.tolist(), slope_BT, batch.loss_mask_BT, strict=True)
            found |= {str(row): slope_T[mask_T].tolist() for row, slope_T, mask_T in rows}
        return {row: values for row, values in found.items() if row != "-1"}


def plain_torch(folder: Path) -> dict[str, Any]:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager").double().eval()
    parameters = list(model.parameters())
    fresh = Plain(model, [torch.zeros_like(parameter) for parameter in parameters], 0)
    found = {"fresh": fresh.probe(0)}
    optimizer = torch.optim.AdamW(parameters, lr=2e-3, weight_decay=0.1)
    for parameter, gradient in zip(parameters, fresh.gradients(0)[0], strict=True):
        parameter.grad = gradient
    torch.nn.utils.clip_grad_norm_(parameters, 0.5)
    home = [parameter.detach().clone() for parameter in parameters]
    optimizer.step()
    change = [parameter.detach() - start for parameter, start in zip(parameters, home, strict=True)]
    place(parameters, home)
    found["walked"] = fresh.slopes(change, 0, of="entropy")
    place(parameters, [start + part for start, part in zip(home, change, strict=True)])
    second = [optimizer.state[parameter]["exp_avg_sq"] for parameter in parameters]
    return found | {"later": Plain(model, second, 1).probe(1)}


@torch.no_grad()
def place(parameters: list[Tensor], values: list[Tensor]) -> None:
    for parameter, value in zip(parameters, values, strict=True):
        parameter.copy_(value)


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize(("case", "ranks"), PAIRS)
def test_inner_products_are_those_of_plain_torch(reports: Any, case: str, ranks: int, moment: str) -> None:
    found, expected = reports[ranks][case][moment], reports[0][moment]
    assert found["own"] == pytest.approx(expected["own"], rel=1e-4)
    assert found["against"] == pytest.approx(expected["against"], rel=1e-4, abs=1e-4 * abs(expected["own"]))


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize(("case", "ranks"), PAIRS)
def test_slopes_are_those_of_plain_torch(reports: Any, case: str, ranks: int, moment: str) -> None:
    found = reports[ranks][case][moment]
    assert found["still"]
    assert_close(found["slopes"], reports[0][moment]["slopes"])


@pytest.mark.parametrize(("case", "ranks"), PAIRS)
def test_after_a_step_the_slope_of_the_entropy_along_it_is_had_at_its_start(
    reports: Any, case: str, ranks: int
) -> None:
    assert_close(reports[ranks][case]["walked"], reports[0]["walked"])


def assert_close(found: dict[str, list[float]], expected: dict[str, list[float]]) -> None:
    assert sorted(found) == sorted(expected)
    actual_N, expected_N = (
        torch.tensor([value for row in sorted(rows) for value in rows[row]]) for rows in (found, expected)
    )
    assert float((actual_N - expected_N).norm()) < 2e-3 * float(expected_N.norm())


@pytest.mark.parametrize(("case", "ranks"), [*PAIRS, ("bf16_stage3", 2)])
def test_taking_and_walking_leave_no_trace(reports: Any, case: str, ranks: int) -> None:
    report = reports[ranks][case]
    assert report["weights_untouched"]
    assert report["no_trace"]
    assert report["rate"] == 2e-3


@pytest.mark.parametrize(("case", "ranks"), PAIRS)
def test_a_loss_that_is_not_finite_is_refused(reports: Any, case: str, ranks: int) -> None:
    assert re.fullmatch(r"the loss of micro-batch \d on rank 0 is not finite", reports[ranks][case]["refusal"])


def test_bfloat16_has_products_and_no_slopes(reports: Any) -> None:
    found = reports[2]["bf16_stage3"]["later"]
    assert found["own"] == pytest.approx(reports[0]["later"]["own"], rel=0.2)
    assert "needs policy.dtype float32" in found["slopes"]


def test_products_by_hand() -> None:
    weight = torch.nn.Parameter(torch.zeros(2))
    optimizer = ClippingAdamW([weight], OptimSpec(lr=0.1, betas=(0.5, 0.75), eps=1e-8), fused=False)
    gradient, other = (torch.tensor([3.0, 0.0]),), (torch.tensor([1.0, 2.0]),)
    first = preconditioned(gradient, (other,), optimizer, [weight], 0)
    assert first[0].tolist() == pytest.approx([1.0, 0.0])  # v' = 9, 4 after one update
    weight.grad = torch.tensor([4.0, 4.0])
    optimizer.max_grad_norm = 100.0
    optimizer.step()
    later = preconditioned(gradient, (other,), optimizer, [weight], 1)
    # v = 0.25·16; v' = 0.75·4 + 0.25·(9, 4) = 5.25, 4; corrected by 1 − 0.75² = 0.4375: 12, 9.142857
    assert later[0].tolist() == pytest.approx([3 / 12**0.5, 0.0])
    assert dot(later, (torch.tensor([2.0, 5.0]),)) == pytest.approx(6 / 12**0.5)


def test_a_product_that_is_not_finite_is_refused() -> None:
    with pytest.raises(NonFiniteError, match="inner product"):
        require_finite(1.0, float("nan"))


@pytest.mark.parametrize(("case", "ranks"), PAIRS)
def test_a_gradient_taken_before_the_first_step_does_no_harm_to_checkpoints(
    reports: Any, case: str, ranks: int
) -> None:
    assert reports[ranks][case]["saves"] == 3 * reports[ranks][case]["parameters"]
