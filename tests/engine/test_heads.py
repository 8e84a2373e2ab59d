"""The statistics head against the model's own logits; architectures that bend logits are refused."""

from __future__ import annotations

import pytest
import torch

from steerctl.engine.heads import StatsModel, check_head_agrees, freeze_randomness, linear_head
from steerctl.entropy.stats import stats_from_logits
from steerctl.errors import ModelError
from tests.engine.toy import toy_update, write_toy_model


@pytest.fixture(scope="module", params=[False, True], ids=["untied", "tied"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    from transformers import AutoModelForCausalLM

    folder = write_toy_model(tmp_path_factory.mktemp("toy") / "model", tied=request.param)
    return lambda: AutoModelForCausalLM.from_pretrained(folder).eval()


def test_statistics_and_gradients_are_those_of_the_models_own_logits(model) -> None:
    plain, ours = model(), StatsModel(model(), temperature=0.7)
    batch = toy_update(0, 0, 1)[0]
    mask, targets = batch.loss_mask_BT, batch.target_ids_BT
    expected = stats_from_logits(plain(batch.input_ids_BT).logits[mask], targets[mask], temperature=0.7)
    found = ours(batch.input_ids_BT, mask, targets, True)
    names = ("logprobs_N", "entropy_N", "mean_score_N", "collision_N")
    for value, name in zip(found, names, strict=True):
        torch.testing.assert_close(value, getattr(expected, name), rtol=1e-5, atol=1e-5)
    (expected.logprobs_N.sum() + expected.entropy_N.sum()).backward()
    (found[0].sum() + found[1].sum()).backward()
    gradients = {name: parameter.grad for name, parameter in plain.named_parameters()}
    assert ours.parameter_names().keys() == gradients.keys()
    for name, parameter in ours.parameter_names().items():
        torch.testing.assert_close(parameter.grad, gradients[name], rtol=1e-4, atol=1e-4)


def test_tied_name(model) -> None:
    tied = model().config.tie_word_embeddings
    assert StatsModel(model(), 1.0).tied_name() == ("lm_head.weight" if tied else None)


def test_padding_after_a_sequence_changes_nothing(model) -> None:
    ours = StatsModel(model(), temperature=1.0)
    freeze_randomness(ours, gradient_checkpointing=False)
    batch = toy_update(0, 0, 1)[0]
    noisy = torch.where(batch.loss_mask_BT.cumsum(1) == batch.loss_mask_BT.sum(1, keepdim=True), 9, batch.input_ids_BT)
    last = batch.loss_mask_BT.cumsum(1) < batch.loss_mask_BT.sum(1, keepdim=True)
    mask = batch.loss_mask_BT & last
    one = ours(batch.input_ids_BT, mask, batch.target_ids_BT, False)
    other = ours(noisy, mask, batch.target_ids_BT, False)
    assert torch.equal(one[0], other[0])


@pytest.mark.parametrize("key", ["final_logit_softcapping", "logit_scale", "logits_scaling"])
def test_bent_logits_are_refused(model, key: str) -> None:
    bent = model()
    setattr(bent.config, key, 30.0)
    with pytest.raises(ModelError, match=f"{key} changes logits after the output head"):
        linear_head(bent)


def test_a_head_that_is_not_linear_is_refused(model) -> None:
    bent = model()
    bent.set_output_embeddings(torch.nn.Sequential(bent.lm_head))
    with pytest.raises(ModelError, match="is a Sequential, not a linear layer"):
        linear_head(bent)


def test_logits_that_are_changed_in_code_are_found(model) -> None:
    bent = model()
    check_head_agrees(bent)
    bent.register_forward_hook(lambda _module, _inputs, output: setattr(output, "logits", output.logits * 1.5))
    with pytest.raises(ModelError, match="not a linear map of the last hidden state"):
        check_head_agrees(bent)


def test_freezing_leaves_only_checkpointed_layers_in_training_mode(model) -> None:
    checkpointed = model()
    checkpointed.gradient_checkpointing_enable()
    freeze_randomness(checkpointed, gradient_checkpointing=True)
    training = [name for name, module in checkpointed.named_modules() if module.training]
    assert "model.layers.0" in training
    assert not any("self_attn" in name or "mlp" in name for name in training)
