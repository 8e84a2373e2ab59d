"""MBPP and MBPP+: read, inputs as Python values, references right."""
# ruff: noqa: E501 (one case a line)

import json

import pytest

from steerctl.data.mbpp import BROKEN, Mbpp, arguments
from steerctl.errors import DataError
from tests.data.judging import right, wrong

ORIGINAL = {
    "task_id": 601, "text": "Write a function to add.", "code": "def add(a, b):\r\n  return a + b", "test_setup_code": "",
    "test_list": ["assert add(1, 2) == 3", "assert add((1,), (2,)) == (1, 2)"], "challenge_test_list": [],
}  # fmt: skip


def written(tmp_path, *rows):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.mark.parametrize(
    ("number", "given", "wanted"),
    [
        (3, [[1], 2], [[1], 2]), (2, [[1, 2], [3]], [(1, 2), (3,)]), (63, [[[1, 2], [3, 4]]], [[(1, 2), (3, 4)]]),
        (75, [[[1, 2]], 6], [[(1, 2)], 6]), (106, [[1], [2, 3]], [[1], (2, 3)]), (307, [[1, []], 0, 5], [(1, []), 0, 5]),
        (259, [[[1], [2]], [[3]]], [((1,), (2,)), ((3,),)]), (278, [[1, [2, 3]]], [(1, (2, 3))]),
        (115, [[[1, 2], []]], [[{1, 2}, {}]]), (124, ["0.5", "1j"], [0.5, 1j]), (252, ["(1+2j)"], [1 + 2j]),
        (722, [{"a": [1, 2]}, 3], [{"a": (1, 2)}, 3]), (580, [[1, [2, [3]]]], [(1, (2, (3,)))]),
    ],
)  # fmt: skip
def test_json_stands_for_what_the_task_means(number, given, wanted):
    assert arguments(number, given) == wanted
    assert [type(each) for each in arguments(number, given)] == [type(each) for each in wanted]


def test_assertions_become_calls_or_stay_weak(tmp_path):
    odd = ORIGINAL | {"task_id": 602, "test_list": ["assert add(1, 2) == 3", "assert add(1, 2) in (3, 4)"]}
    plain, weak = Mbpp(path=written(tmp_path, ORIGINAL, odd)).load().problems
    assert [(each["args"], each["expected"]) for each in plain.info["tests"]] == [([1, 2], 3), ([(1,), (2,)], (1, 2))]
    assert [each["kind"] for each in weak.info["tests"]] == ["call", "assert"]
    assert right([plain, weak]) == {plain.id, weak.id}
    assert plain.prompt[0].content.endswith("assert add(1, 2) == 3")


def test_splits_and_what_is_kept_apart(tmp_path):
    rows = [ORIGINAL | {"task_id": number} for number in (1, 11, 511, 601, 602)]
    path = written(tmp_path, *rows)
    names = {split: [each.id for each in Mbpp(path=path, split=split).load().problems] for split in ("train", "test")}
    assert names == {"train": ["mbpp/601", "mbpp/602"], "test": ["mbpp/11"]}
    (tmp_path / "plus.jsonl").write_text(json.dumps({"task_id": "Mbpp/601"}) + "\n")
    kept = Mbpp(path=path, split="train", without=str(tmp_path / "plus.jsonl")).load().problems
    assert [each.id for each in kept] == ["mbpp/602"]


def test_another_file_is_named(tmp_path):
    with pytest.raises(DataError, match="neither base_input nor test_list"):
        Mbpp(path=written(tmp_path, {"task_id": 1})).load()


def test_every_reference_passes_but_those_named(shared_code):
    loaded = Mbpp(path=str(shared_code / "MbppPlus.jsonl.gz"), tests="base").load()
    assert len(loaded.problems) == 378 - len(BROKEN)
    assert loaded.dropped == {"broken_reference": len(BROKEN)}
    assert len(BROKEN) <= 4
    assert wrong(loaded.problems) == {}


def test_plus_inputs_of_some(shared_code):
    problems = Mbpp(path=str(shared_code / "MbppPlus.jsonl.gz"), limit=60).load().problems
    assert sum(len(each.info["tests"]) for each in problems) > 6_000
    assert wrong(problems) == {}


def test_the_train_split_without_the_benchmark(shared_code):
    path, plus = str(shared_code / "mbpp.jsonl"), str(shared_code / "MbppPlus.jsonl.gz")
    assert len(Mbpp(path=path, split="train").load().problems) == 374
    kept = Mbpp(path=path, split="train", without=plus, keep_broken=True).load().problems
    assert len(kept) == 374 - 108
    assert len(wrong(kept[:120])) == 0
