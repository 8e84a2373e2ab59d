"""Slices: a partition by every quantity, the right units, nothing where nothing is known."""

from collections import defaultdict

import numpy as np
import pytest

from steerctl.analysis.agreement import agreement
from steerctl.analysis.slices import GROUPINGS, slices, step_sizes
from tests.analysis.token_tables import token_table


def test_every_token_is_in_one_group_of_each_kind():
    table = token_table()
    tokens = defaultdict(int)
    for found in slices(table, predictions=["exact", "own_state"], resamples=5):
        tokens[found.prediction, found.by] += found.agreement.tokens
    known = int(np.isfinite(table["own_state"]).sum())
    assert known < len(table["measured"])
    assert tokens == {
        (name, by): count
        for name, count in (("exact", len(table["measured"])), ("own_state", known))
        for by in GROUPINGS
    }


def test_a_slice_is_the_agreement_of_its_tokens():
    table = token_table()
    inside = table["quadrant"] == 3
    expected = agreement(
        table["exact"][inside],
        table["measured"][inside],
        table["problem_id"][inside],
        step_size=table["learning_rate"][inside],
        resamples=50,
    )
    (found,) = (
        each
        for each in slices(table, predictions=["exact"], by=["quadrant"], resamples=50)
        if each.group == "3"
    )  # fmt: skip
    assert found.agreement == expected
    assert list(found.flat())[:4] == ["prediction", "by", "group", "tokens"]


def test_predictions_in_nats_need_no_step_size():
    table = token_table()
    assert (step_sizes(table, "first_order", 0.5) == 1).all()
    assert (step_sizes(table, "own_state+own_second_order", 0.5) == 1).all()
    assert (step_sizes(table, "released", 0.5) == 0.5).all()
    assert (step_sizes(table, "influence") == table["learning_rate"]).all()
    found = {each.prediction: each.agreement.measures for each in slices(table, by=["all"], resamples=5)}
    assert found["first_order"]["r2"].value > 0.999
    assert found["exact"]["slope"].value == pytest.approx(1, abs=0.2)
    assert found["released"]["r2"].value < 0 < found["released"]["r2_fitted"].value


def test_what_the_table_does_not_have_is_passed_over():
    names = {each.prediction for each in slices(token_table(), by=["all"], resamples=5)}
    assert names == {"exact", "released", "own_state", "own_state+own_second_order", "first_order"}


def test_groups_are_named_by_what_is_in_them():
    table = token_table()
    groups = defaultdict(list)
    for each in slices(table, predictions=["exact"], resamples=5):
        groups[each.by].append(each.group)
    assert groups["all"] == ["all"]
    assert groups["optimiser"] == ["AdamW"]
    assert groups["learning_rate"] == ["1e-05", "0.0001"]
    assert groups["grad_norm"] == ["2", "3", "4"]
    assert groups["step"] == ["1", "2"]
    assert groups["probability"][-1] == "0.99 to 1"
    many = table | {"step": np.arange(len(table["step"]))}
    assert len(list(slices(many, predictions=["exact"], by=["step"], resamples=5))) == 10


def test_optimisers_are_apart():
    table = token_table()
    table["optimiser"] = np.where(table["sample"] == 0, "SGD", "AdamW")
    found = {each.group: each.agreement for each in slices(table, predictions=["exact"], by=["optimiser"], resamples=5)}
    assert list(found) == ["AdamW", "SGD"]
    plain = {name: values[table["sample"] == 0] for name, values in table.items()}
    (alone,) = slices(plain, predictions=["exact"], by=["all"], resamples=5)
    assert found["SGD"] == alone.agreement


def test_unknown_names():
    table = token_table()
    with pytest.raises(ValueError, match="'colour' is no grouping"):
        next(slices(table, by=["colour"]))
    with pytest.raises(ValueError, match="'guess' is no column"):
        next(slices(table, predictions=["guess"]))
    del table["learning_rate"]
    with pytest.raises(ValueError, match="no column 'learning_rate'"):
        next(slices(table))
