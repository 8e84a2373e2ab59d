"""The lens against finite differences, against the sum of its own parts, and where the answer is known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from steerctl.analysis import lens as lens_module
from steerctl.analysis.decompose import Decomposition, LossSlopes, loss_slopes
from steerctl.analysis.lens import Lens
from steerctl.engine.motion import AdamWStep, Moments, Motion, clip_factor, motion_of, sgd_motion
from steerctl.entropy.change import entropy_change
from steerctl.entropy.stats import stats_from_logits
from steerctl.errors import ModelError
from steerctl.types import OptimizerReport, TokenBatch, TokenStats
from tests.engine.toy import toy_loss, toy_update

TEMPERATURE = 0.9
RATE, DECAY, MAX_NORM = 3e-3, 0.1, 0.3
VOCABULARY = 264


def language_model(*, tied: bool) -> Any:
    from transformers import Qwen2Config, Qwen2ForCausalLM

    config = Qwen2Config(
        vocab_size=VOCABULARY, hidden_size=24, head_dim=8, intermediate_size=32, num_hidden_layers=2,
        num_attention_heads=3, num_key_value_heads=1, max_position_embeddings=64, tie_word_embeddings=tied,
        initializer_range=0.3,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(11)
        return Qwen2ForCausalLM(config)


@dataclass(frozen=True)
class Step:
    """The second AdamW step of a small model in float64: momentum, weight decay and clipping are at work."""

    model: Any
    motion: Motion
    batches: list[TokenBatch]
    slopes: list[LossSlopes]

    @property
    def lens(self) -> Lens:
        return Lens(self.model, self.motion, temperature=TEMPERATURE)

    @cached_property
    def found(self) -> list[Decomposition]:
        return [
            self.lens.decompose(batch, batch.loss_mask_BT, slopes)
            for batch, slopes in zip(self.batches, self.slopes, strict=True)
        ]


def statistics(model: Any, weights: Mapping[str, Tensor], batch: TokenBatch) -> TokenStats:
    """By the model's own forward, logits of all positions."""
    with lens_module._torch_itself():
        logits_BTV = torch.func.functional_call(model, dict(weights), (batch.input_ids_BT,)).logits
    mask = batch.loss_mask_BT
    rows = stats_from_logits(logits_BTV[mask], batch.target_ids_BT[mask], temperature=TEMPERATURE)
    zeros = torch.zeros(mask.shape, dtype=torch.float64)
    return TokenStats(*(zeros.masked_scatter(mask, getattr(rows, name)) for name in rows.__slots__))


def take_step(*, tied: bool) -> Step:
    model = language_model(tied=tied)
    model.set_attn_implementation("eager")
    weights = {name: value.detach().double().requires_grad_() for name, value in model.named_parameters()}
    optimizer = torch.optim.AdamW(weights.values(), lr=RATE, weight_decay=DECAY)
    for update in (0, 1):
        batches = [batch for batch in toy_update(update, 0, 1) if bool(batch.loss_mask_BT.any())]
        optimizer.zero_grad()
        slopes = []
        for batch in batches:
            stats = statistics(model, weights, batch)
            toy_loss(stats, batch).backward()
            slopes.append(loss_slopes(lambda found, batch=batch: toy_loss(found, batch), stats))
        norm = float(torch.cat([value.grad.flatten() for value in weights.values()]).norm())
        clip = clip_factor(norm, MAX_NORM)
        assert clip < 0.9, "clipping must be at work"
        for value in weights.values():
            value.grad *= clip
        before = {name: moments(value, optimizer) for name, value in weights.items()}
        optimizer.step()
    settings = AdamWStep(RATE, (0.9, 0.999), 1e-8, DECAY, clip, 2)
    parts = {name: settings.parts(before[name], moments(value, optimizer)) for name, value in weights.items()}
    report = OptimizerReport(grad_norm=norm, learning_rate=RATE)
    motion = motion_of({name: each.weight for name, each in before.items()}, parts, report)
    return Step(model, motion, batches, slopes)


def moments(weight: Tensor, optimizer: Any) -> Moments:
    state = optimizer.state[weight]
    values = [state[name].clone() for name in ("exp_avg", "exp_avg_sq")] if state else [torch.zeros_like(weight)] * 2
    return Moments(weight.detach().clone(), *(value.detach() for value in values))


@pytest.fixture(scope="module")
def step() -> Step:
    return take_step(tied=False)


@pytest.fixture(scope="module")
def tied() -> Step:
    return take_step(tied=True)


def rows_of(parts: list[Decomposition], name: str) -> Tensor:
    return torch.cat([getattr(each, name) for each in parts])


def quotient(lens: Lens, batch: TokenBatch, length: float) -> Tensor:
    ahead_N, back_N = (lens.measured(batch, batch.loss_mask_BT, factor) for factor in (length, -length))
    return (ahead_N - back_N) / (2 * length)


@pytest.mark.parametrize("which", ["step", "tied"])
def test_derivatives_are_those_of_difference_quotients(request: pytest.FixtureRequest, which: str) -> None:
    case: Step = request.getfixturevalue(which)
    batch, length = case.batches[0], 0.02
    for part in ("change", "carried"):
        motion = replace(case.motion, change=getattr(case.motion, part))
        lens = Lens(case.model, motion, temperature=TEMPERATURE)
        expected_N = (4 * quotient(lens, batch, length / 2) - quotient(lens, batch, length)) / 3
        found_N = lens.along(batch, batch.loss_mask_BT, motion.change)
        torch.testing.assert_close(found_N, expected_N, rtol=1e-6, atol=1e-6 * float(expected_N.abs().mean()))
        column = {"change": "first_order_N", "carried": "carried_N"}[part]
        torch.testing.assert_close(getattr(case.found[0], column), found_N, rtol=1e-12, atol=1e-15)


def test_statistics_and_measured_change_are_those_of_the_model(step: Step) -> None:
    after = {name: value + step.motion.change[name] for name, value in step.motion.before.items()}
    for batch, found in zip(step.batches, step.found, strict=True):
        then, now = (statistics(step.model, weights, batch) for weights in (step.motion.before, after))
        mask = batch.loss_mask_BT
        torch.testing.assert_close(found.entropy_N, then.entropy_BT[mask], rtol=1e-12, atol=0)
        torch.testing.assert_close(found.logprob_N, then.logprobs_BT[mask], rtol=1e-12, atol=0)
        torch.testing.assert_close(found.mean_score_N, then.mean_score_BT[mask], rtol=1e-10, atol=1e-16)
        expected_N = (now.entropy_BT - then.entropy_BT)[mask]
        torch.testing.assert_close(found.measured_N, expected_N, rtol=0, atol=1e-13)


def test_the_parts_sum_to_the_measured_change(step: Step) -> None:
    total_N = sum(rows_of(step.found, name) for name in ("own_state_N", "interference", "remainder"))
    torch.testing.assert_close(total_N, rows_of(step.found, "measured_N"), rtol=0, atol=1e-15)
    assert float(rows_of(step.found, "own_state_N").abs().mean()) > 1e-4
    assert float(rows_of(step.found, "carried_N").abs().mean()) > 1e-4


@pytest.mark.parametrize("which", ["step", "tied"])
def test_all_tokens_own_motions_and_what_was_carried_make_first_order(
    request: pytest.FixtureRequest, which: str
) -> None:
    case: Step = request.getfixturevalue(which)
    own = [
        case.lens.own_motion(batch, batch.loss_mask_BT, slopes)
        for batch, slopes in zip(case.batches, case.slopes, strict=True)
    ]
    tokens = [{name: value[place] for name, value in each.items()} for each in own for place in range(count(each))]
    assert len(tokens) == case.batches[0].num_tokens
    for name, change in case.motion.change.items():
        moved = case.motion.carried[name] + sum(token[name] for token in tokens)
        torch.testing.assert_close(moved, change, rtol=1e-8, atol=1e-12)
    seen = case.batches[1]
    effects_SN = torch.stack([case.lens.along(seen, seen.loss_mask_BT, token) for token in tokens])
    total_N = effects_SN.sum(dim=0) + case.found[1].carried_N
    torch.testing.assert_close(total_N, case.found[1].first_order_N, rtol=1e-8, atol=1e-12)
    # Each token's own-state term is its own effect on itself, by another way than the one it was computed.
    first = int(case.batches[0].loss_mask_BT.sum())
    own_N = effects_SN[first : first + effects_SN.shape[1]].diagonal()
    torch.testing.assert_close(case.found[1].own_state_N, own_N, rtol=1e-9, atol=1e-14)


def count(motions: Mapping[str, Tensor]) -> int:
    return len(next(iter(motions.values())))


def test_order_padding_and_company_change_nothing(step: Step) -> None:
    batch, slopes, found = step.batches[0], step.slopes[0], step.found[0]
    mask = batch.loss_mask_BT
    probed = mask & (torch.rand(mask.shape, generator=torch.Generator().manual_seed(1)) < 0.4)
    assert 0 < int(probed.sum()) < int(mask.sum())

    def moved(values_BT: Tensor) -> Tensor:
        return functional.pad(values_BT.flip(0), (0, 3))

    other = replace(batch, input_ids_BT=moved(batch.input_ids_BT), target_ids_BT=moved(batch.target_ids_BT))
    again = step.lens.decompose(
        other, moved(probed), LossSlopes(moved(slopes.logprobs_BT), moved(slopes.entropy_BT))
    ).columns()
    place_BT = torch.full(mask.shape, -1)
    place_BT[mask] = torch.arange(int(mask.sum()))
    order_N = moved(place_BT)[moved(probed)].numpy()
    for name, values in found.columns().items():
        assert again[name] == pytest.approx(values[order_N], rel=1e-9, abs=1e-14), name


def test_one_token_at_a_time_is_no_other_result(step: Step, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lens_module, "OWN_BYTES", 1)
    batch, slopes = step.batches[0], step.slopes[0]
    alone = step.lens.decompose(batch, batch.loss_mask_BT, slopes)
    for name in ("own_state_N", "own_second_order_N"):
        torch.testing.assert_close(getattr(alone, name), getattr(step.found[0], name), rtol=1e-10, atol=1e-16)


def test_own_second_order_is_half_the_bend_along_the_own_motion(step: Step) -> None:
    """To second order in its own motion, with the bend of the logits taken out by a second quotient."""
    batch, slopes, place = step.batches[0], step.slopes[0], 3
    probed = torch.zeros_like(batch.loss_mask_BT)
    probed[tuple(batch.loss_mask_BT.nonzero()[place])] = True
    motion = {name: value[0] for name, value in step.lens.own_motion(batch, probed, slopes).items()}
    logits = []
    for length in (-1e-3, 0.0, 1e-3):
        weights = {name: value + length * motion[name] for name, value in step.motion.before.items()}
        with lens_module._torch_itself():
            out_BTV = torch.func.functional_call(step.model, weights, (batch.input_ids_BT,)).logits
        logits.append(out_BTV[probed][0] / TEMPERATURE)
    slope_V = (logits[2] - logits[0]) / 2e-3
    logp_V = logits[1].log_softmax(-1)
    centred_V = slope_V - (logp_V.exp() * slope_V).sum()
    expected = -0.5 * float((logp_V.exp() * centred_V**2 * (1 + logp_V - (logp_V.exp() * logp_V).sum())).sum())
    assert float(step.found[0].own_second_order_N[place]) == pytest.approx(expected, rel=1e-5)


def test_tokens_without_slopes_do_nothing_and_none_may_be_probed(step: Step) -> None:
    batch, slopes = step.batches[0], step.slopes[0]
    still = LossSlopes(torch.zeros_like(slopes.logprobs_BT), torch.zeros_like(slopes.entropy_BT))
    parts = step.lens.decompose(batch, batch.loss_mask_BT, still)
    assert float(parts.own_state_N.abs().max()) == 0
    torch.testing.assert_close(parts.interference, parts.first_order_N)
    nothing = step.lens.decompose(batch, torch.zeros_like(batch.loss_mask_BT), slopes)
    assert {name: len(values) for name, values in nothing.columns().items()} == dict.fromkeys(parts.columns(), 0)
    bare = step.lens.decompose(batch, batch.loss_mask_BT)
    assert bare.own_state_N is None
    torch.testing.assert_close(bare.first_order_N, parts.first_order_N)


def test_another_rate_by_scaling_is_another_rate(step: Step) -> None:
    batch, slopes = step.batches[0], step.slopes[0]
    whole = Lens(step.model, step.motion.scaled(0.1), temperature=TEMPERATURE)
    expected = whole.decompose(batch, batch.loss_mask_BT, slopes).columns()
    measured_N = step.lens.measured(batch, batch.loss_mask_BT, 0.1)
    known_N = step.found[0].entropy_N
    again_N = step.lens.measured(batch, batch.loss_mask_BT, 0.1, entropy_N=known_N)
    torch.testing.assert_close(again_N, measured_N, rtol=0, atol=1e-14)
    found = step.found[0].scaled(0.1, measured_N).columns()
    for name, values in expected.items():
        assert found[name] == pytest.approx(values, rel=1e-9, abs=1e-15), name


def test_small_steps_leave_small_remainders(step: Step) -> None:
    batch, found = step.batches[0], step.found[0]
    sizes = []
    for factor in (1e-2, 1e-3):
        scaled = found.scaled(factor, step.lens.measured(batch, batch.loss_mask_BT, factor))
        sizes.append(float(scaled.remainder.norm() / scaled.first_order_N.norm()))
    assert sizes[0] < 0.05
    assert sizes[1] == pytest.approx(sizes[0] / 10, rel=0.05)


def test_float32_is_the_same_to_its_rounding(step: Step) -> None:
    batch, slopes = step.batches[0], step.slopes[0]
    lens = Lens(step.model, step.motion, temperature=TEMPERATURE, dtype=torch.float32)
    parts = lens.decompose(batch, batch.loss_mask_BT, slopes)
    for name in ("first_order_N", "own_state_N", "measured_N", "second_order_N", "carried_N"):
        exact_N = getattr(step.found[0], name)
        assert float((getattr(parts, name) - exact_N).norm()) < 1e-3 * float(exact_N.norm()), name


class _NoForwardMode(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor) -> Tensor:
        return hidden @ weight.t()


def test_an_engine_that_replaced_linear_is_no_obstacle(step: Step, monkeypatch: pytest.MonkeyPatch) -> None:
    """DeepSpeed's ZeRO-3 puts a function without a forward-mode derivative in the place of torch's, for good."""

    def replaced(hidden: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        product: Tensor = _NoForwardMode.apply(hidden, weight)
        return product if bias is None else product + bias

    monkeypatch.setattr(functional, "linear", replaced)
    batch, slopes = step.batches[0], step.slopes[0]
    parts = step.lens.decompose(batch, batch.loss_mask_BT, slopes)
    assert functional.linear is replaced
    torch.testing.assert_close(parts.own_state_N, step.found[0].own_state_N)


def test_a_step_of_another_model_is_refused(step: Step, tied: Step) -> None:
    with pytest.raises(ModelError, match=r"the step was of another model: lm_head\.weight"):
        Lens(step.model, tied.motion, temperature=TEMPERATURE)


class Table(nn.Module):
    """A tabular policy: every input token is a state with its own logits."""

    def __init__(self, states: int, actions: int) -> None:
        super().__init__()
        self.logits = nn.Embedding(states, actions)

    def forward(self, input_ids_BT: Tensor, rows_N: Tensor) -> Tensor:
        return self.logits(input_ids_BT).flatten(0, 1).index_select(0, rows_N)


@dataclass(frozen=True)
class Tabular:
    """Six states of seven actions, each seen once; a policy-gradient loss with coefficients w."""

    table: Table
    batch: TokenBatch
    weight_BT: Tensor

    @classmethod
    def random(cls) -> Tabular:
        rng = torch.Generator().manual_seed(2)
        table = Table(6, 7)
        table.logits.weight.data.copy_(2 * torch.randn((6, 7), generator=rng))
        batch = toy_update(0, 0, 1)[0]
        mask = torch.ones((2, 3), dtype=torch.bool)
        batch = replace(
            batch,
            input_ids_BT=torch.randperm(6, generator=rng).reshape(2, 3),
            target_ids_BT=torch.randint(0, 7, (2, 3), generator=rng),
            loss_mask_BT=mask,
        )
        return cls(table, batch, torch.randn((2, 3), generator=rng, dtype=torch.float64))

    def stats(self, logits_SA: Tensor, temperature: float) -> Any:
        chosen_NA = logits_SA[self.batch.input_ids_BT].flatten(0, 1)
        return stats_from_logits(chosen_NA, self.batch.target_ids_BT.flatten(), temperature=temperature)

    def gradient(self, temperature: float) -> tuple[Tensor, Tensor]:
        logits_SA = self.table.logits.weight.detach().double().requires_grad_()
        logprobs_N = self.stats(logits_SA, temperature).logprobs_N
        (gradient_SA,) = torch.autograd.grad(-(self.weight_BT.flatten() * logprobs_N).sum(), logits_SA)
        return logits_SA.detach(), gradient_SA

    def decompose(self, motion: Motion, temperature: float) -> Decomposition:
        slopes = LossSlopes(-self.weight_BT, torch.zeros_like(self.weight_BT))
        lens = Lens(self.table, motion, temperature=temperature)
        return lens.decompose(self.batch, self.batch.loss_mask_BT, slopes)


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_in_a_table_the_exact_formula_is_exact_and_nothing_interferes(temperature: float) -> None:
    case, rate = Tabular.random(), 0.01
    logits_SA, gradient_SA = case.gradient(temperature)
    motion = sgd_motion({"logits.weight": logits_SA}, {"logits.weight": gradient_SA}, rate, max_grad_norm=0.5)
    found = case.decompose(motion, temperature)
    stats = case.stats(logits_SA, temperature)
    expected_N = entropy_change(
        "exact",
        weight=case.weight_BT.flatten(),
        logprobs=stats.logprobs_N,
        entropy=stats.entropy_N,
        mean_score=stats.mean_score_N,
    )
    clip = clip_factor(motion.grad_norm, 0.5)
    assert clip < 1
    # z = weight/temperature: both the gradient and the motion of z have a factor 1/temperature.
    expected_N = expected_N * rate * clip / temperature**2
    torch.testing.assert_close(found.own_state_N, expected_N, rtol=1e-10, atol=1e-14)
    assert float(found.interference.abs().max()) < 1e-16
    assert float(found.carried_N.abs().max()) == 0
    torch.testing.assert_close(found.own_second_order_N, found.second_order_N, rtol=1e-10, atol=1e-16)


def test_in_a_table_two_orders_leave_a_third() -> None:
    case = Tabular.random()
    logits_SA, gradient_SA = case.gradient(1.0)
    left = []
    for rate in (0.02, 0.01):
        found = case.decompose(sgd_motion({"logits.weight": logits_SA}, {"logits.weight": gradient_SA}, rate), 1.0)
        left.append(found.remainder - found.second_order_N)
    torch.testing.assert_close(left[0] / left[1], torch.full_like(left[0], 8.0), rtol=0.05, atol=0)


def test_in_a_table_two_tokens_of_one_state_interfere() -> None:
    case = Tabular.random()
    same = case.batch.input_ids_BT.clone()
    same[0, 1] = same[0, 0]
    case = replace(case, batch=replace(case.batch, input_ids_BT=same))
    logits_SA, gradient_SA = case.gradient(1.0)
    found = case.decompose(sgd_motion({"logits.weight": logits_SA}, {"logits.weight": gradient_SA}, 0.01), 1.0)
    assert (found.interference.abs() > 1e-6).tolist() == [True, True, False, False, False, False]
    both = found.own_state_N[:2].sum()
    torch.testing.assert_close(found.first_order_N[:2], torch.stack([both, both]), rtol=1e-10, atol=1e-14)
