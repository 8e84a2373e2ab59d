"""The schema DAPO and verl share: loading, copies, conflicts, damage, ids."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from steerctl.data.verl import Verl
from steerctl.errors import DataError
from steerctl.types import Message


def row(question, gold, index=None, source="s"):
    extra = {"index": index} if index is not None else {"split": "test"}
    model = {"ground_truth": gold, "style": "rule"}
    return {"prompt": [{"role": "user", "content": question}], "reward_model": model, "data_source": source} | {
        "extra_info": extra
    }


def parquet(tmp_path, rows):
    path = tmp_path / "some.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path)
    return str(path)


def jsonl(tmp_path, rows):
    path = tmp_path / "some.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in rows))
    return str(path)


@pytest.mark.parametrize("write", [parquet, jsonl])
def test_rows_become_problems_in_order(tmp_path, write):
    rows = [row("1+1?", "2", "a"), row("2+2?", " 4 ", "b")]
    loaded = Verl(path=write(tmp_path, rows)).load()
    assert [one.id for one in loaded.problems] == ["s/a", "s/b"]
    assert [one.gold for one in loaded.problems] == ["2", "4"]
    assert loaded.problems[0].prompt == (Message("user", "1+1?"),)
    assert loaded.problems[0].source == "s"
    assert loaded.dropped == {}


def test_copies_but_for_white_space_collapse_into_the_first(tmp_path):
    rows = [row("a  b\nc", "2", 7), row("a b c ", "2", 8), row("a b d", "2", 9)]
    loaded = Verl(path=parquet(tmp_path, rows)).load()
    assert [one.id for one in loaded.problems] == ["s/7", "s/9"]
    assert loaded.problems[0].prompt[0].content == "a  b\nc"
    assert loaded.dropped == {"duplicate": 1}
    kept = Verl(path=parquet(tmp_path, rows), deduplicate=False).load()
    assert len(kept.problems) == 3


def test_conflicting_answers_drop_every_row_of_the_prompt(tmp_path):
    path = parquet(tmp_path, [row("a", "1", 1), row("a", "2", 2), row("a", "1", 3), row("b", "1", 4)])
    loaded = Verl(path=path).load()
    assert [one.id for one in loaded.problems] == ["s/4"]
    assert loaded.dropped == {"conflicting_gold": 3}
    kept = Verl(path=path, drop_conflicting_golds=False).load()
    assert [one.id for one in kept.problems] == ["s/1", "s/2", "s/4"]
    assert kept.dropped == {"duplicate": 1}


def test_empty_answers_and_wrong_rows_are_counted(tmp_path):
    wrong = [{**row("x", "1"), "prompt": "text"}, {**row("x", "1"), "reward_model": {"ground_truth": 3}}]
    wrong += [{"data_source": "s"}, row("\ud800", "1"), {**row("x", "1"), "prompt": []}]
    loaded = Verl(path=jsonl(tmp_path, [*wrong, row("a", "  ", 1), row("é", "1", 2)])).load()
    assert [one.gold for one in loaded.problems] == ["1"]
    assert loaded.dropped == {"wrong_schema": 5, "empty_gold": 1}


def test_damaged_rows_say_so_or_go(tmp_path):
    rows = [row("\x0crac{m}{n}", "1", 1), row("fine", "3", 2), row("big", "9" * 20, 3)]
    kept = Verl(path=parquet(tmp_path, rows)).load()
    assert [one.info.get("defect") for one in kept.problems] == ["form_feed", None, "huge_gold"]
    dropped = Verl(path=parquet(tmp_path, rows), drop_defects=True).load()
    assert [one.id for one in dropped.problems] == ["s/2"]
    assert dropped.dropped == {"form_feed": 1, "huge_gold": 1}


def test_ids_without_a_unique_index_come_from_the_content_and_are_unique(tmp_path):
    rows = [row("a", "1", 0), row("b", "1", 0), row("a", "1", 0)]
    whole = Verl(path=parquet(tmp_path, rows), deduplicate=False).load().problems
    assert len({one.id for one in whole}) == 3
    assert whole[2].id == f"{whole[0].id}#2"
    turned = Verl(path=parquet(tmp_path, rows[::-1])).load().problems
    assert {one.id for one in turned} == {whole[0].id, whole[1].id}
    assert all(one.id.startswith("s/") and len(one.id) == 18 for one in turned)


def test_limit_counts_what_is_left(tmp_path):
    path = parquet(tmp_path, [row("a", "1", 1), row("a", "1", 2), row("b", "1", 3), row("c", "1", 4)])
    assert [one.id for one in Verl(path=path, limit=2).load().problems] == ["s/1", "s/3"]


def test_no_usable_row_is_an_error(tmp_path):
    with pytest.raises(DataError, match=r"none of 2 rows is usable \(2 empty_gold\)"):
        Verl(path=parquet(tmp_path, [row("a", "", 1), row("b", "", 2)])).load()


def test_missing_files_looks_without_loading(tmp_path):
    assert Verl(path=str(tmp_path / "no.parquet")).missing_files() == (str(tmp_path / "no.parquet"),)
    assert Verl(path="some.jsonl").missing_files() == ("some.jsonl",)
    assert Verl(path=jsonl(tmp_path, [])).missing_files() == ()
    assert Verl(path="BytedTsinghua-SIA/DAPO-Math-17k").missing_files() == ()


def test_dapo_loads_whole(shared_math):
    whole = Verl(path=str(shared_math / "DAPO-Math-17k.parquet"), deduplicate=False, drop_conflicting_golds=False)
    loaded = whole.load()
    assert len(loaded.problems) == 17_398
    assert loaded.dropped == {}
    assert len({one.id for one in loaded.problems}) == 17_398
    defects = [one.info["defect"] for one in loaded.problems if "defect" in one.info]
    # 606 lost \frac + 31 other form feeds; of the 7 rows each with lost tabs and control characters one also has a
    # form feed and counts as that; 5 answers beyond 2^53.
    counts = {reason: defects.count(reason) for reason in sorted(set(defects))}
    assert counts == {"control_character": 6, "form_feed": 637, "huge_gold": 5, "lost_macro": 6}


def test_dapo_copies_and_conflicts(shared_math):
    """17,188 distinct prompts after white space: 205 surplus rows, and 5 prompts with two answers each.

    A study of this file counts 1,169 surplus rows and 52 conflicting ones, because it also compares without the
    instruction around the question, without case and without punctuation; here only true copies collapse.
    """
    loaded = Verl(path=str(shared_math / "DAPO-Math-17k.parquet")).load()
    assert loaded.dropped == {"duplicate": 205, "conflicting_gold": 10}
    assert len(loaded.problems) == 17_398 - 205 - 10


@pytest.mark.parametrize(
    ("name", "problems", "copies"),
    [("aime24", 30, 930), ("aime25", 30, 930), ("amc23", 40, 1240), ("math500", 500, 0), ("minerva_math", 272, 0)],
)
def test_evaluation_files(shared_math, name, problems, copies):
    loaded = Verl(path=str(shared_math / f"{name}.parquet")).load()
    assert len(loaded.problems) == problems
    assert loaded.dropped.get("duplicate", 0) == copies
