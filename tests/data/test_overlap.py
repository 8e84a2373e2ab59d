"""Contamination: what is found, what is not, and the known overlaps of DAPO-Math-17k."""

import json
import time

import pytest

from steerctl.data.benchmark import Benchmark
from steerctl.data.overlap import Instructions, count_overlaps, find_overlaps, overlapping, training_rows
from steerctl.types import Message, Problem

FLAG = "A flag of nine stripes is painted with red, white and blue so that no two stripes side by side are alike. "
COUNT = "In how many ways can that be done?"


def problem(name, text, gold="1", source="test"):
    return Problem(name, (Message("user", text),), gold, source)


def found(question, *rows, gold="1"):
    return find_overlaps([problem("q", question, gold)], [problem(f"r{n}", row) for n, row in enumerate(rows)])


def test_the_same_text():
    (one,) = found(FLAG + COUNT, "Something else entirely, of which nothing is known to anyone.", FLAG + COUNT)
    assert (one.row_id, one.exact, one.normalised, one.jaccard, one.contained) == ("r1", True, True, 1.0, 1.0)
    assert one.same_gold


def test_the_same_text_but_for_signs():
    (one,) = found(r"Find $\left| m - n \right|$ where $m=5$.", "find |m-n| , where m = 5")
    assert (one.exact, one.normalised) == (False, True)


def test_a_question_in_other_words_at_its_end():
    (one,) = found(FLAG + COUNT, FLAG + "Give the number of ways, and nothing but that number, as your final answer.")
    assert not one.normalised
    assert one.is_at_least("same")
    assert one.contained > 0.5


def test_other_numbers_are_another_problem():
    text = (
        "A cyclist rides uphill for {} km at a steady pace, takes a rest at the top without hurry or regret, and then "
        "rolls the whole way back at twice that pace in {} minutes. How fast was the way up?"
    )
    (one,) = found(text.format(12, 30), text.format(15, 31))
    assert one.is_at_least("similar")
    assert not one.is_at_least("same")
    assert overlapping([one]) == {}
    assert set(overlapping([one], "similar")) == {"q"}


def test_a_number_counts_as_often_as_it_occurs():
    (one,) = found(
        "Two tanks hold 3 and 3 litres, and a third tank beside them holds 3 litres as well. What now?",
        "Two tanks hold 3 and four litres, and a third tank beside them holds 3 litres as well. What now?",
    )
    assert one.numbers == pytest.approx(2 / 3)


def test_unrelated_and_empty_texts():
    assert found(FLAG + COUNT, "What is 1 + 1?", "") == []
    assert found("", "", "x") == []
    assert found("是否存在", "是否存在") == [], "neither letters nor digits: nothing to compare"


def test_a_short_question_is_found_whole_or_not_at_all():
    assert [each.exact for each in found("What is 6 + 7?", "What is 6 + 7?", "What is 6 + 7 today?")] == [True]


def test_the_strongest_row_wins():
    many = found(FLAG + COUNT, FLAG + "How many?", FLAG + COUNT, (FLAG + COUNT).upper())
    assert len(many) == 3
    assert overlapping(many)["q"].row_id == "r1"
    assert set(overlapping(many, "exact")) == {"q"}


def test_any_accepted_answer_is_the_same_answer():
    asked = Problem("q", (Message("user", FLAG),), "2e3", "test", {"golds": ("2e3", "2000"), "question": FLAG})
    (one,) = find_overlaps([asked], [problem("r", FLAG, gold=" 2000 ")])
    assert one.same_gold


def test_instructions_are_learnt_from_the_file():
    before, after = (
        "Solve this problem with care and patience, please:\n\n",
        "\n\nPut the answer in a box of its own at the end.",
    )
    rows = [f"{before}Question {chr(65 + n)} about {n} apples{after}" for n in range(20)]
    learnt = Instructions.learn(rows)
    assert learnt == Instructions((before + "Question ",), (" apples" + after,)), "what all questions share goes too"
    assert Instructions.learn(rows[:7]) == Instructions(), "seven rows prove nothing"
    mixed = [f"{before}{word} is asked here{after}" for word in "abcdefgh"] + [f"{word}?" * 30 for word in "ijklmnopq"]
    assert Instructions.learn(mixed).cut(f"{before}What?{after}") == f"What?{after}"


def test_wrapped_rows_match_bare_questions():
    before, after = (
        "Solve this problem with care and patience, please:\n\n",
        "\n\nPut the answer in a box of its own at the end.",
    )
    others = [f"{before}{word} {word} {number}{after}" for number, word in enumerate("abcdefghij")]
    (one,) = found(FLAG + COUNT, *others, before + FLAG + COUNT + after)
    assert one.exact


def test_the_table():
    asked = [problem("a", FLAG + COUNT), problem("b", FLAG.upper() + COUNT), problem("c", "Nothing of the kind.")]
    table = count_overlaps(asked, find_overlaps(asked, [problem("r", FLAG + COUNT, gold="2")]))
    assert table["test"].questions == 3
    assert (table["test"].exact, table["test"].normalised, table["test"].same, table["test"].same_gold) == (1, 2, 2, 0)


def test_rows_come_one_by_one():
    """A generator is read once, row after row."""
    rows = (problem(str(number), FLAG + COUNT if number == 2_500 else f"row {number}") for number in range(3_000))
    assert [each.row_id for each in find_overlaps([problem("q", FLAG + COUNT)], rows)] == ["2500"]


@pytest.fixture(scope="module")
def dapo(shared_math):
    names = ("aime24", "aime25", "amc23", "math500", "minerva", "olympiadbench")
    asked = [each for name in names for each in Benchmark(name=name, folder=str(shared_math)).load().problems]
    rows = training_rows(str(shared_math / "DAPO-Math-17k.parquet"))
    start = time.process_time()
    overlaps = find_overlaps(asked, rows)
    return asked, rows, overlaps, time.process_time() - start


def test_known_overlaps_of_dapo_math_17k(dapo, shared_math):
    """All 110 of steer_bench_clean.jsonl's `in_dapo_train`, and two more: a die and a line, in other words."""
    asked, _, overlaps, _ = dapo
    lines = (shared_math / "steer_bench_clean.jsonl").read_text(encoding="utf-8").splitlines()
    known = {row["id"].replace("minerva_math", "minerva") for row in map(json.loads, lines) if row["in_dapo_train"]}
    ours = set(overlapping(overlaps))
    assert len(known) == 110
    assert known <= ours
    assert ours - known == {"math500/125", "math500/496"}
    assert len({each.id for each in asked}) == 1_547


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("amc23", (40, 5, 8, 20, 24, 22)),
        ("math500", (500, 2, 8, 17, 21, 11)),
        ("olympiadbench", (675, 0, 10, 46, 67, 21)),
        ("aime24", (30, 0, 0, 0, 0, 0)),
        ("aime25", (30, 0, 0, 0, 0, 0)),
        ("minerva", (272, 0, 0, 0, 0, 0)),
    ],
)
def test_the_table_of_dapo_math_17k(dapo, name, counts):
    asked, _, overlaps, _ = dapo
    row = count_overlaps(asked, overlaps)[name]
    assert (row.questions, row.exact, row.normalised, row.half, row.same, row.same_gold) == counts


def test_17_thousand_rows_take_seconds(dapo):
    _, rows, _, seconds = dapo
    assert len(rows) == 17_398
    assert seconds < 10
