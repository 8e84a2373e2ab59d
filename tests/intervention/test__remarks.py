"""The marker of settings that are read only with others: what it says, and that it is true of every kind."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Annotated, Literal

import pytest
import torch
from pydantic import TypeAdapter

from steerctl.intervention import Intervention, Population
from steerctl.intervention._remarks import SET, OnlyWith, meaning, unread
from steerctl.plugins import registry
from tests.batches import make_case
from tests.intervention.populations import groups_of
from tests.intervention.slopes import LogitSlopes

ROOM = registry("steerctl.intervention")
IN_VAIN = [
    ("archer", {"kl_denominator": "all"}, {"scope": "micro_batch"}),
    ("dcpo", {"dynamic_clip": False}, {"clip_ratio_low": 0.9, "clip_ratio_high": 0.9, "ratio_max": 1.0}),
    ("entropy_projection", {}, {"schedule_steps": 1, "refresh_every": 1}),
    ("entropy_target", {"flow_fraction": 0.5}, {"entropy_target": 3.0, "gain": 0.9}),
    ("entropy_target", {"flow": "set_point", "estimator": "influence"}, {"flow_fraction": 0.5}),
    ("hicra", {}, {"tokenizer_file": "tokenizer.json"}),
    ("hicra", {"grams_file": "grams.json"}, {"gram_min": 1, "gram_max": 1, "top_fraction": 1.0, "min_documents": 1}),
    ("kl_reward", {}, {"kl_horizon": 1.0}),
    ("lp_reg", {"set_clip": False, "ratio": 0.9}, {"clip_ratio_low": 0.1, "clip_ratio_high": 0.1}),
    ("opefo", {"fixed_lambda": 0.5}, {"lambda_max": 0.0, "scope": "micro_batch"}),
    ("outcome_exploration", {"bonus": "ucb"}, {"baseline": 0.9}),
    ("probability_clip", {"schedule": "constant"}, {"total_steps": 1, "low_fraction": 1.0, "min_fraction": 1.0}),
    ("quadrant", {"factor_1": 0.5}, {"boundary_probability": 0.1, "boundary_quantile": 0.9, "scope": "micro_batch"}),
    ("steer", {"mapping": "linear"}, {"binary_fraction": 0.9, "floor": 5.0}),
    ("stochastic_rescue", {}, {"margin": 0.9, "rescue_probability": 1.0}),
    ("stochastic_rescue", {"rule": "margin"}, {"noise": 0.9}),
]
"""Kind, settings under which others are not read, and those, moved from their defaults."""


class Example(Intervention):
    kind: Literal["example"] = "example"
    mode: Literal["a", "b", "c"] = "a"
    target: float | None = None
    on: bool = True
    one: Annotated[int, OnlyWith(mode=("b", "c"))] = 1
    """Meaning."""
    both: Annotated[int, OnlyWith(target=SET, on=True)] = 1
    none: Annotated[int, OnlyWith(target=None)] = 1


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, []),
        ({"mode": "b", "target": 2.0, "one": 5, "both": 5}, []),
        ({"one": 5, "none": 5}, ["one plays no part with mode a"]),
        ({"both": 5}, ["both plays no part without target"]),
        (
            {"both": 5, "target": 1.0, "on": False, "none": 3},
            ["both plays no part with on false", "none plays no part with target 1.0"],
        ),
        ({"one": 1}, []),
    ],
)
def test_unread(settings, expected) -> None:
    assert list(unread(Example(**settings))) == expected


def test_meanings() -> None:
    said = {name: meaning(field) for name, field in Example.model_fields.items() if name in ("one", "both", "none")}
    assert said == {
        "one": "Meaning. Read with mode b or c.",
        "both": "Read with target and on true.",
        "none": "Read with target null.",
    }
    properties = Example.model_json_schema()["properties"]
    assert {name: properties[name]["description"] for name in said} == said
    assert "description" not in properties["mode"]


def test_markers_name_settings_and_values_that_exist() -> None:
    for kind, model in ROOM.items():
        for name, mark in marks(model):
            for other, wanted in mark.settings.items():
                adapter = TypeAdapter(model.model_fields[other].annotation)
                for value in wanted if isinstance(wanted, tuple) else (wanted,):
                    if value is SET:
                        assert adapter.validate_python(None) is None, (kind, name)
                    else:
                        assert adapter.validate_python(value, strict=True) == value, (kind, name)


@pytest.mark.parametrize(("kind", "settings", "moved"), IN_VAIN)
def test_what_is_said_to_play_no_part_plays_none(kind, settings, moved, tmp_path) -> None:
    if "grams_file" in settings:
        path = tmp_path / "grams.json"
        path.write_text(json.dumps([[1, 2], [3]]))
        settings = {"grams_file": str(path)}
    plain, other = ROOM[kind](**settings), ROOM[kind](**settings, **moved)
    assert [text.split()[0] for text in unread(other)] == [name for name in ROOM[kind].model_fields if name in moved]
    assert list(unread(plain)) == []
    for before, after in zip(dials_of(plain), dials_of(other), strict=True):
        for field in fields(before):
            assert torch.equal(getattr(before, field.name), getattr(after, field.name)), field.name


def test_every_marker_is_put_to_the_test() -> None:
    tested = {(kind, name) for kind, _, moved in IN_VAIN for name in moved}
    assert {(kind, name) for kind, model in ROOM.items() for name, _ in marks(model)} == tested


def marks(model):
    found = [(name, mark) for name, field in model.model_fields.items() for mark in field.metadata]
    return [(name, mark) for name, mark in found if isinstance(mark, OnlyWith)]


def dials_of(intervention):
    """The dials of two steps of two updates each."""
    for step in (0, 1):
        case = make_case(seed=3 + step, dtype=torch.float64)
        intervention.reshape(groups_of([[1, 0, 1], [0, 1, 1]]))
        for update in (0, 1):
            view = case.view()
            population = Population(
                (view,), lambda value: [value], step, update, LogitSlopes(case), lambda _kappa, case=case: [proxy(case)]
            )
            yield intervention.prepare(population)(view.dials, view.batch, view.stats)


def proxy(case):
    return case.stats.logprobs_BT.detach() + 0.1
