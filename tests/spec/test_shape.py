"""Cursors over the experiment's models."""

from __future__ import annotations

from pydantic import BaseModel

from steerctl.plugins import registry
from steerctl.spec.experiment import ExperimentSpec
from steerctl.spec.shape import ROOT, Cursor, known_paths, with_kinds
from steerctl.spec.tree import Origin, from_plain, plain


def at(*parts: str | int, kind: str | None = None) -> Cursor:
    cursor = ROOT
    for part in parts:
        below = cursor.child(part, kind)
        assert below is not None, parts
        cursor = below
    return cursor


def test_plug_in_rooms_are_seen_through_lists_and_options() -> None:
    assert set(at("algorithm", "interventions", 0).models) == set(registry("steerctl.intervention"))
    assert set(at("data", "validation").models) == set(registry("steerctl.data"))
    assert at("reward", "verifier").model(None) is None
    assert at("algorithm", "loss").model(None) is registry("steerctl.loss")["ppo_clip"]
    assert at("algorithm", "loss").model("reinforce") is registry("steerctl.loss")["reinforce"]


def test_unknown_places() -> None:
    assert ROOT.child("nothing", None) is None
    assert at("optim", "lr").child("x", None) is None
    assert at("optim").child(0, None) is None


def test_every_field_of_every_model_is_a_known_path() -> None:
    paths = {path for path, _ in known_paths()}

    def visit(model: type[BaseModel], path: tuple[str | int, ...]) -> None:
        for name in model.model_fields:
            assert (*path, name) in paths

    visit(ExperimentSpec, ())
    for kind, model in registry("steerctl.intervention").items():
        visit(model, ("algorithm", "interventions", 0))
        assert model.model_fields["kind"].default == kind


def test_kinds_are_written_only_where_there_is_a_default() -> None:
    given = {
        "algorithm": {"loss": {"clip_ratio_high": 0.3}, "interventions": [{"kl_coef": 1}]},
        "reward": {"verifier": {}},
    }
    filled = plain(with_kinds(from_plain(given, Origin("f", 1))))
    assert filled["algorithm"] == {
        "loss": {"kind": "ppo_clip", "clip_ratio_high": 0.3},
        "interventions": [{"kl_coef": 1}],
    }
    assert filled["reward"] == {"verifier": {}}
