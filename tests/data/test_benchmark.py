"""The mathematics benchmarks, from our own examples everywhere and from the published files where they are."""

import json
import shutil
from pathlib import Path

import pytest

from steerctl.data._golds import repaired_by_rule
from steerctl.data._published import FILES, QUESTIONS, bare, folded, question_of
from steerctl.data._shingles import families, shingles_of, skeleton, words
from steerctl.data.benchmark import EXAMPLES, Benchmark
from steerctl.errors import DataError

NAMES = tuple(QUESTIONS)
ASSETS = Path(__file__).resolve().parents[2] / "steerctl" / "assets" / "benchmarks"


def problems(name, **settings):
    return Benchmark(name=name, folder=EXAMPLES, **settings).load().problems


@pytest.mark.parametrize("name", NAMES)
def test_examples_of_every_benchmark(name):
    found = problems(name)
    assert len(found) >= 2
    assert [each.id for each in found] == [f"{name}/{index}" for index in range(len(found))]
    for each in found:
        assert each.source == name
        assert each.info["question"] in each.prompt[-1].content
        assert each.gold == each.info["golds"][0]
        assert "Remember" not in each.info["question"]


def test_row_copies_are_one_question():
    assert [each.info["copies"] for each in problems("aime24")] == [2, 2, 2]
    assert [each.info["copies"] for each in problems("math500")] == [1, 1, 1, 1]


def test_clean_and_original_answers():
    clean, original = problems("minerva")[1], problems("minerva", gold="original")[1]
    assert clean.info["golds"] == ("2e-4", "2 \\times 10^{-4}")
    assert clean.info["gold_from"] == "file"
    assert original.gold == "2e-4"
    assert "golds" not in original.info
    assert problems("olympiadbench")[0].gold == "1,2"
    assert problems("olympiadbench", gold="original")[0].gold == "1$,$2"
    assert problems("gsm8k")[0].info["golds"] == ("1,125", "1125")


def test_only_decimals_of_minerva_have_a_tolerance():
    assert [each.info.get("relative_tolerance") for each in problems("minerva")] == [1e-4, 1e-4, 1e-4, None]
    assert all("relative_tolerance" not in each.info for each in problems("math500"))


def test_parts_of_one_exercise_are_a_family():
    assert [each.info.get("cluster") for each in problems("minerva")] == ["minerva/0", "minerva/0", None, None]


def test_a_folder_without_repaired_answers_is_repaired_by_rule(tmp_path):
    shutil.copy(ASSETS / "minerva_math.jsonl", tmp_path)
    found = Benchmark(name="minerva", folder=str(tmp_path)).load().problems
    assert [each.info["gold_from"] for each in found] == ["published", "rule", "rule", "published"]
    assert found[2].info["golds"] == ("1.2e24", "1.2 \\times 10^{24}")


def test_repaired_answers_of_other_questions_are_refused(tmp_path):
    shutil.copy(ASSETS / "math500.jsonl", tmp_path)
    line = {"benchmark": "math500", "problem": "Another.", "golds": ["1"], "steer_gold": "1"}
    (tmp_path / "steer_bench_clean.jsonl").write_text(json.dumps(line) + "\n")
    with pytest.raises(DataError, match="do not belong together"):
        Benchmark(name="math500", folder=str(tmp_path)).load()


@pytest.mark.parametrize("line", ["no JSON", "[]", '{"benchmark": "math500"}', '{"golds": [1]}'])
def test_a_damaged_file_of_repaired_answers(tmp_path, line):
    shutil.copy(ASSETS / "math500.jsonl", tmp_path)
    (tmp_path / "steer_bench_clean.jsonl").write_text(line + "\n")
    with pytest.raises(DataError, match=r"steer_bench_clean.jsonl:1: "):
        Benchmark(name="math500", folder=str(tmp_path)).load()


def test_a_benchmark_must_be_whole(tmp_path):
    lines = (ASSETS / "math500.jsonl").read_text().replace("\\\\frac{3}{8}", "").splitlines()
    (tmp_path / "math500.jsonl").write_text("\n".join(lines))
    with pytest.raises(DataError, match="1 empty_gold"):
        Benchmark(name="math500", folder=str(tmp_path)).load()


def test_missing_files(tmp_path):
    assert Benchmark(name="aime24").missing_files() == ()
    assert Benchmark(name="aime24", folder=EXAMPLES).missing_files() == ()
    assert Benchmark(name="minerva", folder=str(tmp_path)).missing_files() == (str(tmp_path / "minerva_math.parquet"),)
    assert Benchmark(name="minerva", folder=str(tmp_path / "no")).missing_files() == (str(tmp_path / "no"),)
    with pytest.raises(DataError, match=r"has no minerva_math.parquet"):
        Benchmark(name="minerva", folder=str(tmp_path)).load()


@pytest.mark.parametrize(
    ("benchmark", "row", "gold"),
    [
        ("aime24", {"problem": "Q", "solution": "\\boxed{204}"}, "204"),
        ("aime25", {"problem": "Q", "answer": "70"}, "70"),
        ("amc23", {"question": "Q", "answer": "27.0"}, "27"),
        ("math500", {"problem": "Q", "answer": "\\left( 3, \\frac{\\pi}{2} \\right)"}, None),
        ("minerva", {"question": "Q", "answer": "4.5e33"}, "4.5e33"),
        ("olympiadbench", {"question": "Q", "final_answer": ["$2$"]}, "2"),
        ("gsm8k", {"question": "Q", "answer": "9 * 2 = <<9*2=18>>18\n#### 18"}, "18"),
    ],
)
def test_rows_of_the_hub(benchmark, row, gold):
    assert question_of(benchmark, row) == ("Q", gold or row["answer"])


def test_the_hubs_columns_may_change():
    with pytest.raises(DataError, match="its columns have changed"):
        question_of("aime25", {"question": "Q", "answer": "1"})


def test_benchmarks_from_the_hub_library(monkeypatch):
    """Its own Dataset object; only the download is replaced."""
    datasets = pytest.importorskip("datasets")
    asked = []

    def load_dataset(path, *configuration, split):
        asked.append((path, *configuration, split))
        return datasets.Dataset.from_list([{"question": "How much is a dozen?", "answer": "It is\n#### 12"}])

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    (problem,) = Benchmark(name="gsm8k").load().problems
    assert asked == [("openai/gsm8k", "main", "test")]
    assert (problem.gold, problem.info["gold_from"]) == ("12", "published")


def test_questions_without_their_instruction():
    assert bare("A bare question.\n\nOf two paragraphs.") == "A bare question.\n\nOf two paragraphs."
    opening, closing = "Solve the following math problem step by step. So.", "Remember to put your answer there."
    whole = f"{opening}\n\nOne.\n\nTwo.\n\n{closing}"
    assert bare(whole) == "One.\n\nTwo."


def test_folding_keeps_different_answers_apart():
    found = folded(iter([("q", "1"), ("q", "2"), ("q", "1")]))
    assert [(each.gold, each.copies) for each in found] == [("1", 2), ("2", 1)]


@pytest.mark.parametrize(
    ("gold", "forms"),
    [
        ("4.5e33", ("4.5e33", "4.5 \\times 10^{33}")),
        ("-2e-04", ("-2e-04", "-2 \\times 10^{-4}")),
        ("2,125", ("2,125", "2125")),
        ("8$,$4", ("8,4",)),
        ("1,2", ("1,2",)),
        ("2e", ("2e",)),
    ],
)
def test_rules(gold, forms):
    assert repaired_by_rule(gold) == forms


def test_families_are_connected_not_only_pairs():
    start, middle, end = "a b c d e f g h i j", "c d e f g h i j k l", "e f g h i j k l m n"
    unrelated = "one two three four five six seven eight nine"
    texts = [start.replace(" ", " x"), unrelated, "", ""]
    assert families(texts) == [0, 1, 2, 3]
    chain = [f"{start} {middle}", f"{middle} {end}", unrelated, f"{end} {end}"]
    assert families(chain)[2] == 2
    assert families([unrelated, f"Part 2. {unrelated}"]) == [0, 0]


def test_words_and_skeletons():
    assert words(r"Find $x_1 + 2.5\pi$!") == ["find", "x", "1", "2.5", "pi"]
    assert skeleton(r"\left| m - n \right| = \text{one}") == skeleton("|m-n|=one")
    assert shingles_of(["a", "b"]) == {("a", "b")}
    assert shingles_of([]) == frozenset()
    assert len(shingles_of([str(number) for number in range(10)])) == 3


@pytest.mark.parametrize("name", NAMES)
def test_published_files(shared_math, name):
    """Counts, ids, prompts and answers of the files as they are."""
    clean = Benchmark(name=name, folder=str(shared_math)).load().problems
    original = Benchmark(name=name, folder=str(shared_math), gold="original").load().problems
    assert len(clean) == QUESTIONS[name]
    assert {each.info["copies"] for each in clean} == {32 if name in {"aime24", "aime25", "amc23"} else 1}
    assert [each.prompt for each in clean] == [each.prompt for each in original]
    assert all(each.info["gold_from"] == ("file" if name != "gsm8k" else each.info["gold_from"]) for each in clean)
    assert all(
        before.gold in after.info["golds"] or "," in before.gold for before, after in zip(original, clean, strict=True)
    )


@pytest.mark.parametrize("name", ["aime24", "aime25", "amc23"])
def test_the_steer_preset_gives_the_files_own_prompts(shared_math, name):
    import pyarrow.parquet as pq

    rows = pq.read_table(shared_math / f"{FILES.get(name, name)}.parquet", columns=["prompt"]).to_pylist()
    own = {row["prompt"][0]["content"] for row in rows}
    assert {each.prompt[0].content for each in Benchmark(name=name, folder=str(shared_math)).load().problems} == own


def test_published_families(shared_math):
    """Minerva's exercises in parts, OlympiadBench's serial questions; none in the contests and MATH500."""
    found = {}
    for name in NAMES:
        clusters = [each.info.get("cluster") for each in Benchmark(name=name, folder=str(shared_math)).load().problems]
        found[name] = (len({each for each in clusters if each}), sum(each is not None for each in clusters))
    assert found["minerva"] == (53, 126)
    assert found["olympiadbench"] == (18, 54)
    assert all(found[name] == (0, 0) for name in ("aime24", "aime25", "amc23", "math500"))


def test_58_minerva_answers_in_e_notation(shared_math):
    found = Benchmark(name="minerva", folder=str(shared_math)).load().problems
    both = [each for each in found if any("\\times 10^" in gold for gold in each.info["golds"]) and "e" in each.gold]
    assert len(both) == 58
    assert all(each.info["relative_tolerance"] == 1e-4 for each in both)
