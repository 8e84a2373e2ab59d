"""Attribution: numbers by hand, sums that close, order that does not depend on the table's."""

import numpy as np
import pytest

from steerctl.analysis.attribution import by_place, by_text, extremes
from tests.analysis.token_tables import token_table


def small():
    """Five tokens of one response of ten."""
    table = {name: values[:5].copy() for name, values in token_table(length=10).items()}
    table["text"] = np.array([" +", "7", " +", "\n", "7"], dtype=object)
    table["position"] = np.array([0, 2, 5, 9, 4])
    table["length"] = np.full(5, 10)
    table["measured"] = np.array([-0.5, 0.25, -0.25, 0.0, 0.125])
    return table


def test_by_text_by_hand():
    plus, newline, seven = by_text(small())
    assert (plus.label, plus.count, plus.total, plus.mean, plus.lost, plus.gained) == (" +", 2, -0.75, -0.375, -0.75, 0)
    assert (plus.share, plus.share_lost, plus.share_gained) == (2.0, 1.0, 0.0)
    assert (newline.label, newline.total, newline.share) == ("\n", 0.0, 0.0)
    assert (seven.label, seven.total, seven.share, seven.share_gained) == ("7", 0.375, -1.0, 1.0)


def test_by_place_by_hand():
    found = by_place(small(), parts=5)
    assert [part.label for part in found] == ["0 to 20 %", "20 to 40 %", "40 to 60 %", "60 to 80 %", "80 to 100 %"]
    assert [part.count for part in found] == [1, 1, 2, 0, 1]
    assert [part.total for part in found] == [-0.5, 0.25, -0.125, 0.0, 0.0]
    assert found[2].mean == -0.0625
    assert len(by_place(small())) == 10
    with pytest.raises(ValueError, match="0 parts"):
        by_place(small(), parts=0)


def test_extremes_by_hand():
    found = extremes(small(), 3)
    assert [token.change for token in found.losing] == [-0.5, -0.25]
    assert [token.change for token in found.gaining] == [0.25, 0.125]
    assert (found.losing[0].text, found.losing[0].position, found.losing[0].problem_id) == (" +", 0, "problem-0")
    assert len(extremes(small(), 1).losing) == 1


def test_groups_sum_to_the_whole_and_null_tokens_are_left_out():
    table = token_table()
    for change in ("measured", "own_state"):
        values = table[change][np.isfinite(table[change])]
        for found in (by_text(table, change=change), by_place(table, change=change)):
            assert sum(entry.count for entry in found) == len(values)
            assert sum(entry.total for entry in found) == pytest.approx(values.sum())
            assert sum(entry.share for entry in found) == pytest.approx(1)
            assert sum(entry.share_lost for entry in found) == pytest.approx(1)
    assert sum(entry.count for entry in by_text(table, change="own_state")) < len(table["measured"])


def test_the_order_of_the_table_does_not_matter():
    table = token_table()
    table["measured"] = np.round(table["measured"], 5)  # ties
    order = np.random.default_rng(1).permutation(len(table["measured"]))
    shuffled = {name: values[order] for name, values in table.items()}
    assert extremes(table) == extremes(shuffled)
    assert [entry.label for entry in by_text(table)] == [entry.label for entry in by_text(shuffled)]


def test_nothing_to_attribute():
    table = small() | {"measured": np.full(5, np.nan)}
    assert extremes(table).losing == extremes(table).gaining == ()
    assert by_text(table) == []
    assert {part.share for part in by_place(table)} == {None}
    with pytest.raises(ValueError, match="no column 'guess'"):
        by_text(table, change="guess")
