"""The frozen policy says what the trained one says, and gives the weights it was loaded with."""

from __future__ import annotations

import torch

from steerctl.engine.frozen import Alone, FrozenPolicy
from steerctl.engine.models import load_model
from steerctl.entropy.stats import stats_from_logits
from steerctl.spec.experiment import PolicySpec
from tests.engine.toy import toy_update, write_toy_model

TEMPERATURE = 0.7


def test_statistics_are_those_of_the_models_own_logits_at_the_temperature(tmp_path) -> None:
    spec = PolicySpec(model=str(write_toy_model(tmp_path)))
    policy = FrozenPolicy(spec, seed=1, temperature=TEMPERATURE, device=torch.device("cpu"))
    model = load_model(spec, seed=1)
    batch, *_, empty = toy_update(0, rank=0, ranks=1)
    found = policy.measure(batch)
    with torch.no_grad():
        logits_NV = model(batch.input_ids_BT).logits[batch.loss_mask_BT]
    rows = stats_from_logits(logits_NV, batch.target_ids_BT[batch.loss_mask_BT], temperature=TEMPERATURE)
    torch.testing.assert_close(found.logprobs_BT[batch.loss_mask_BT], rows.logprobs_N)
    torch.testing.assert_close(found.entropy_BT[batch.loss_mask_BT], rows.entropy_N)
    assert not found.entropy_BT.requires_grad
    assert (found.entropy_BT[~batch.loss_mask_BT] == 0).all()
    assert policy.measure(empty).entropy_BT.abs().sum() == 0


def test_weights_carry_their_names_once_each(tmp_path) -> None:
    spec = PolicySpec(model=str(write_toy_model(tmp_path, tied=True)))
    policy = FrozenPolicy(spec, seed=1, temperature=1.0, device=torch.device("cpu"))
    expected = dict(load_model(spec, seed=1).named_parameters())
    given = dict(policy.weights())
    assert list(given) == list(expected)
    assert all(torch.equal(given[name], expected[name]) for name in expected)


def test_alone() -> None:
    assert (Alone().rank, Alone().world_size, Alone().all_gather("x")) == (0, 1, ["x"])
