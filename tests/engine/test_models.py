"""Loading: fresh weights, and each way a model can be unusable, in one line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from steerctl.engine.models import check_partitioned, eos_ids, load_model, load_tokenizer, resolve
from steerctl.engine.quiet import import_deepspeed
from steerctl.errors import ModelError
from steerctl.spec.experiment import PolicySpec
from tests.engine.toy import END, write_toy_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_toy_model(tmp_path_factory.mktemp("toy") / "model")


@pytest.fixture
def broken(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "broken"))


def test_weights_and_type(folder: Path) -> None:
    stored = load_file(folder / "model.safetensors")
    model = load_model(PolicySpec(model=str(folder), dtype="bfloat16"), seed=1)
    assert all(torch.equal(value, stored[name].bfloat16()) for name, value in model.named_parameters())


def test_fresh_weights_follow_the_seed_and_leave_the_global_generator_alone(folder: Path) -> None:
    policy = PolicySpec(model=str(folder), random_weights=True)
    before = torch.random.get_rng_state()
    one, same, other = (dict(load_model(policy, seed=seed).named_parameters()) for seed in (3, 3, 4))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["lm_head.weight"], other["lm_head.weight"])


def test_fresh_weights_need_no_weight_file(broken: Path) -> None:
    (broken / "model.safetensors").unlink()
    load_model(PolicySpec(model=str(broken), random_weights=True), seed=1)
    with pytest.raises(ModelError, match=r"no \*.safetensors weights"):
        load_model(PolicySpec(model=str(broken)), seed=1)


def test_end_tokens_come_from_tokenizer_and_generation_config(broken: Path) -> None:
    tokenizer = load_tokenizer(PolicySpec(model=str(broken)))
    assert tokenizer.decode(tokenizer("17 + 4").input_ids) == "17 + 4"
    path = broken / "generation_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"eos_token_id": [3, 9]}))
    assert eos_ids(broken, tokenizer) == {3, 9, END}
    path.unlink()
    assert eos_ids(broken, tokenizer) == {END}


def one_line(error: pytest.ExceptionInfo[ModelError]) -> str:
    text = str(error.value)
    assert "\n" not in text
    return text


def test_a_missing_parameter_is_named(broken: Path) -> None:
    weights = load_file(broken / "model.safetensors")
    del weights["model.norm.weight"]
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError) as error:
        load_model(PolicySpec(model=str(broken)), seed=1)
    assert one_line(error).endswith("1 parameters are not in the weight files, e.g. model.norm.weight")


@pytest.mark.parametrize("damage", ["weights", "config"])
def test_damaged_files(broken: Path, damage: str) -> None:
    path = broken / ("model.safetensors" if damage == "weights" else "config.json")
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ModelError) as error:
        load_model(PolicySpec(model=str(broken)), seed=1)
    assert "cannot be loaded as a causal language model" in one_line(error)


def test_no_tokenizer(broken: Path) -> None:
    for path in broken.glob("tokenizer*"):
        path.unlink()
    with pytest.raises(ModelError) as error:
        load_tokenizer(PolicySpec(model=str(broken)))
    assert "no tokenizer in" in one_line(error)


def test_an_end_token_the_model_does_not_know(broken: Path) -> None:
    path = broken / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"vocab_size": END}))
    with pytest.raises(ModelError) as error:
        load_tokenizer(PolicySpec(model=str(broken)))
    assert "end token <end> (256) is not in the model's vocabulary of 256" in one_line(error)


def test_no_such_folder() -> None:
    with pytest.raises(ModelError, match="no folder"):
        resolve(PolicySpec(model="./nowhere"))


def test_no_such_model_on_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError) as error:
        resolve(PolicySpec(model="nobody/nothing", revision="v1"))
    assert one_line(error).startswith(
        "nobody/nothing: not a folder, and not available from the Hugging Face hub at revision v1"
    )


def test_a_parameter_a_partitioned_load_missed_is_named(folder: Path) -> None:
    import_deepspeed("cpu")
    model = load_model(PolicySpec(model=str(folder)), seed=1)
    check_partitioned(model, folder)
    model.lm_head.weight.data[0, 0] += 1
    with pytest.raises(ModelError, match=r"lm_head.weight was not loaded under ZeRO-3"):
        check_partitioned(model, folder)
