"""The token table: every column in its place, what follows from others, what is not there."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from steerctl.analysis.columns import COLUMNS
from steerctl.analysis.table import arrays, joined, token_table
from steerctl.types import Message, Problem, Rollout, RolloutGroup, Verdict


def rollout(first, length):
    return Rollout(np.arange(length, dtype=np.int32) + first, np.zeros(length, np.float32), "", "stop", 0, 0)


GROUPS = [
    RolloutGroup(
        problem=Problem(f"p{index}", (Message("user", "?"),), "1", "test"),
        prompt_ids=(1,),
        rollouts=(rollout(10 * index, 3), rollout(10 * index, 4)),
        verdicts=(Verdict(1.0, None, ""),) * 2,
        rewards_G=(1.0, 0.0),
    )
    for index in range(2)
]


def tokens(rows=(3, 0), places=(2, 1), update=1, **more):
    keys = {"row": np.array(rows), "position": np.array(places), "update": np.full(len(rows), update)}
    numeric = [
        name
        for name, column in COLUMNS.items()
        if column.kind in {"float64", "bool"} and not column.optional
    ]  # fmt: skip
    columns = {name: np.linspace(0.5, 1, len(rows)) for name in numeric if name != "passes"}
    quadrants = dict.fromkeys(("quadrant", "quadrant_exact"), np.array([1] * len(rows)))
    return {**keys, **columns, **quadrants, "passes": np.array([True] * len(rows)), **more}


def test_rows_are_named_by_problem_and_token():
    table = token_table(tokens(), 7, GROUPS, lambda token: f"<{token}>")
    assert table.column_names == list(COLUMNS)
    first = table.to_pylist()[0]
    expected = {
        "step": 7,
        "problem_id": "p1",
        "sample": 1,
        "position": 2,
        "length": 4,
        "token_id": 12,
        "text": "<12>",
        "passes": True,
    }
    assert {name: first[name] for name in expected} == expected
    assert table["problem_id"].to_pylist() == ["p1", "p0"]


def test_optional_columns_are_null_and_others_must_be_there():
    table = token_table(tokens(own_second_order=np.array([np.nan, 2.0])), 1, GROUPS, str)
    assert table["own_second_order"].to_pylist() == [None, 2.0]
    assert table["influence"].null_count == 2
    assert table.schema.field("influence").type == pa.float64()
    without = tokens()
    del without["exact"]
    with pytest.raises(ValueError, match="no column exact"):
        token_table(without, 1, GROUPS, str)


def test_the_parts_add_up():
    own, first = np.array([0.25, -1.0]), np.array([0.5, 2.0])
    found = arrays(token_table(tokens(own_state=own, first_order=first), 1, GROUPS, str))
    assert np.array_equal(found["own_state"] + found["interference"], first)
    assert np.array_equal(found["first_order"] + found["remainder"], found["measured"])
    alone = arrays(token_table(tokens(first_order=first), 1, GROUPS, str))
    assert np.isnan(alone["interference"]).all()
    assert np.isfinite(alone["remainder"]).all()


def test_updates_are_joined_in_the_order_of_update_row_and_position():
    later, earlier = tokens(update=2, influence=np.array([1.0, 2.0])), tokens(rows=(2, 2), places=(1, 0))
    found = joined([later, {name: values[:0] for name, values in later.items()}, earlier])
    order = list(zip(found["update"].tolist(), found["row"].tolist(), found["position"].tolist(), strict=True))
    assert order == [(1, 2, 0), (1, 2, 1), (2, 0, 1), (2, 3, 2)]
    assert found["influence"][2:].tolist() == [2.0, 1.0]
    assert np.isnan(found["influence"][:2]).all()
    assert found["row"].dtype.kind == "i"


def test_no_tokens_make_an_empty_table_with_all_columns():
    nothing = {name: values[:0] for name, values in tokens().items()}
    table = token_table(joined([nothing, nothing]), 1, GROUPS, str)
    assert table.num_rows == 0
    assert table.column_names == list(COLUMNS)


def test_half_a_character_can_be_written():
    assert token_table(tokens(), 1, GROUPS, lambda _: "\ud83d")["text"].to_pylist() == ["?", "?"]


def test_arrays_of_several_tables_are_one():
    one, other = (token_table(tokens(), step, GROUPS, str) for step in (1, 2))
    found = arrays(one, other)
    assert found["step"].tolist() == [1, 1, 2, 2]
    assert found["passes"].dtype == bool
    assert list(found) == list(COLUMNS)
