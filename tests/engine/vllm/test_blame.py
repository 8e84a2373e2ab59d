"""Naming wrong parameters, with a plain model in the server's place; with a real server: test_generator.py."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from steerctl.engine.models import load_model
from steerctl.engine.vllm.blame import Answer, Folders, blame, group_of, listed
from steerctl.engine.vllm.weights import WeightFolders
from steerctl.spec.experiment import PolicySpec
from tests.engine.toy import write_toy_model

TEMPERATURE, TOLERANCE = 0.7, 1e-4


class World:
    """A trainer's model, its pushed folder and the one before."""

    def __init__(self, folder: Path) -> None:
        self.policy = PolicySpec(model=str(write_toy_model(folder / "model", layers=4)))
        self.model = load_model(self.policy, seed=0)
        folders = WeightFolders(str(folder / "room"), folder / "model", "float32", None)
        self.old = {name: value.detach().clone() for name, value in self.model.named_parameters()}
        generator = torch.Generator().manual_seed(1)
        for turn in range(2):
            writer = folders.begin(turn)
            for name, value in self.model.named_parameters():
                if turn:
                    value.data.add_(0.03 * torch.randn(value.shape, generator=generator))
                writer.add(name, value)
            folders.keep(writer.finish())
        self.folders = Folders(self.policy, folders.current, folders.previous)

    @torch.no_grad()
    def answers(self, stale=lambda _name: False, noise: float = 0.0) -> list[Answer]:
        """Of a server that has the previous values where `stale` says so."""
        server = load_model(self.policy.model_copy(update={"model": str(self.folders.current)}), seed=0)
        for name, value in server.named_parameters():
            if stale(name):
                value.copy_(self.old[name])
        ids = torch.randint(0, 256, (5, 17), generator=torch.Generator().manual_seed(2))
        logprobs = (server(ids[:, :-1]).logits / TEMPERATURE).log_softmax(-1).gather(2, ids[:, 1:, None])[..., 0]
        logprobs = logprobs + noise * torch.randn(logprobs.shape, generator=torch.Generator().manual_seed(3))
        return [
            Answer(tuple(row[:5].tolist()), tuple(row[5:].tolist()), tuple(said[4:].tolist()))
            for row, said in zip(ids, logprobs, strict=True)
        ]

    def blame(self, answers, **planted) -> str:
        weights = ((name, planted.get(name, value)) for name, value in self.model.named_parameters())
        return blame(weights, self.folders, answers, temperature=TEMPERATURE, tolerance=TOLERANCE)


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> World:
    return World(tmp_path_factory.mktemp("world"))


@pytest.mark.parametrize(
    ("stale", "named"),
    [
        (lambda name: name.startswith("model.layers.2."), "model.layers.2"),
        (lambda name: name == "lm_head.weight", "lm_head"),
        (lambda name: name == "model.embed_tokens.weight", "model.embed_tokens"),
        (lambda name: name == "model.layers.3.mlp.up_proj.weight", "model.layers.3.mlp.up_proj.weight"),
        (lambda _name: True, "every parameter"),
    ],
    ids=["layer", "head", "embedding", "one matrix", "everything"],
)
def test_the_part_that_is_old_is_named(world: World, stale, named: str) -> None:
    assert world.blame(world.answers(stale)) == f"the server still has the previous weights in {named}"


def test_what_old_weights_do_not_explain_is_left_open(world: World) -> None:
    assert world.blame(world.answers(noise=0.3)) == (
        "the pushed weights are the trainer's, and no group with its previous weights explains the difference"
    )


def test_a_folder_that_is_not_the_trainers_is_named_exactly(world: World) -> None:
    planted = {"model.norm.weight": world.old["model.norm.weight"]}
    assert world.blame(world.answers(), **planted) == "the pushed weights are not the trainer's in model.norm.weight"
    weights = [*world.model.named_parameters(), ("more.weight", torch.ones(1))]
    told = blame(weights, world.folders, [], temperature=1.0, tolerance=1e-4)
    assert told == "the pushed weights are not the trainer's in more.weight"


def test_names() -> None:
    assert group_of("model.layers.12.mlp.up_proj.weight") == "model.layers.12"
    assert group_of("transformer.h.3.attn.bias") == "transformer.h.3"
    assert group_of("lm_head.weight") == "lm_head"
    assert listed(["a", "b"]) == "a, b"
    assert listed(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more"
