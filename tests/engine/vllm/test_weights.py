import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from steerctl.engine.models import load_model
from steerctl.engine.vllm import weights as weights_module
from steerctl.engine.vllm.weights import Tie, WeightFolders, find_tie
from steerctl.errors import StorageError
from steerctl.spec.experiment import PolicySpec
from tests.engine.toy import write_toy_model

TIE = Tie("model.embed_tokens.weight", "lm_head.weight")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_toy_model(tmp_path / "model", tied=True)


def push(folders: WeightFolders, version: int, parameters) -> Path:
    writer = folders.begin(version)
    for name, value in parameters:
        writer.add(name, value)
    folder = writer.finish()
    folders.keep(folder)
    return folder


def test_a_tied_head_is_found_and_a_separate_one_is_not(model: Path, tmp_path: Path) -> None:
    assert find_tie(PolicySpec(model=str(model)), model) == TIE
    separate = write_toy_model(tmp_path / "separate")
    assert find_tie(PolicySpec(model=str(separate)), separate) is None


def test_a_folder_is_a_whole_model_with_its_head_untied(model: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(weights_module, "SHARD_BYTES", 200_000)  # several files and their index
    policy = PolicySpec(model=str(model))
    original = load_model(policy, seed=0)
    folders = WeightFolders(str(tmp_path / "room"), model, "float32", TIE)
    folder = push(folders, 4, original.named_parameters())
    assert len(list(folder.glob("*.safetensors"))) > 1
    config = json.loads((folder / "config.json").read_text())
    assert config["tie_word_embeddings"] is False
    again = load_model(PolicySpec(model=str(folder)), seed=0)
    assert torch.equal(again.lm_head.weight, original.lm_head.weight)
    assert again.lm_head.weight is not again.model.embed_tokens.weight
    ids = torch.arange(9)[None]
    assert torch.equal(again(ids).logits, original(ids).logits)
    folders.close()
    assert list((tmp_path / "room").iterdir()) == []


def test_the_folder_before_is_kept_until_the_next_begins(model: Path, tmp_path: Path) -> None:
    folders = WeightFolders(str(tmp_path), model, "float32", None)
    parameters = [("a", torch.ones(3))]
    first, second = (push(folders, version, parameters) for version in (0, 1))
    assert (folders.previous, folders.current) == (first, second)
    third = folders.begin(2)
    assert not first.exists()
    third.abandon()
    assert not third.folder.exists()
    assert folders.current == second
    assert second.exists()
    again = push(folders, 1, parameters)
    assert again != second
    assert load_file(again / "model.safetensors")["a"].tolist() == [1, 1, 1]
    folders.close()
    folders.close()


def test_a_folder_that_cannot_be_made_is_named(model: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"rollout.generator.transport_dir: .*file"):
        WeightFolders(str(tmp_path / "file" / "below"), model, "float32", None)
