"""Figures from training: their runs at both scales, seeds paired, what a verdict and a sentence say."""

import csv
import json
import math
import os
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from experiments.figures import seed_curves, studies
from experiments.figures.studies import Interval, Planned
from experiments.quadrants import quadrants
from experiments.steer_weights import tokens
from steerctl.spec.checks import check_spec

STUDIES = ("quadrants", "reinforce_weight", "shaped_advantage", "steer_weights")
VARIANTS = [studies.GRPO, *(path for name in STUDIES for path in sorted((studies.HERE.parent / name).glob("*.yaml")))]


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_variant_is_the_same_method_at_both_scales(variant):
    tiny, paper = (Planned(variant, 3, scale).load().spec for scale in ("tiny", "paper"))
    assert (paper.policy.model, paper.optim.lr, paper.engine.ranks) == ("Qwen/Qwen2.5-Math-7B", 1e-6, 8)
    assert (tiny.policy.model, tiny.name, tiny.seed) == ("tiny", paper.name, paper.seed)
    assert paper.name == f"{paper.name.removesuffix('-seed3')}-seed3"
    assert tiny.algorithm.interventions == paper.algorithm.interventions
    assert tiny.algorithm.loss.clip_ratio_high == paper.algorithm.loss.clip_ratio_high
    assert paper.algorithm.loss.dual_clip == 10
    assert tiny.analysis == paper.analysis
    assert [finding for spec in (tiny, paper) for finding in check_spec(spec, None) if finding.level == "error"] == []


def test_names_are_those_of_one_variant_each():
    names = [Planned(variant, 1).load().spec.name for variant in VARIANTS if variant.stem != "base"]
    assert len(set(names)) == len(names) > 15


def test_a_plan_has_whole_pairs_wherever_it_is_cut():
    planned = studies.plan([Path("a"), Path("b")], (1, 2), "tiny")
    assert [(str(each.variant), each.seed) for each in planned] == [("a", 1), ("b", 1), ("a", 2), ("b", 2)]


def test_only_a_finished_run_of_these_settings_counts(tmp_path, monkeypatch):
    monkeypatch.setattr(studies, "RUNS", tmp_path)
    planned = Planned(studies.GRPO, 1)
    assert planned.finished() is None
    folder = tmp_path / "tiny" / "grpo-seed1"
    folder.mkdir(parents=True)
    (folder / "spec.json").write_text(planned.load().spec.model_dump_json())
    lines = [{"step": 0, "x": 7.0}, {"step": 1, "x": 1.0}, {"step": 2, "x": 2.0, "y": 3.0}]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    for state, found in (("failed", False), ("finished", True)):
        (folder / "status.json").write_text(json.dumps({"state": state, "step": 2, "error": None}))
        assert (planned.finished() is not None) == found
    rows = studies.collect([planned, Planned(studies.GRPO, 2)], ("x", "y"))
    assert [(row["variant"], row["seed"], row["step"], row["x"]) for row in rows] == [
        ("grpo", 1, 1, 1.0),
        ("grpo", 1, 2, 2.0),
    ]
    assert math.isnan(rows[0]["y"])
    studies.write_rows(tmp_path / "rows.csv", rows)
    with (tmp_path / "rows.csv").open() as file:
        assert [line["x"] for line in csv.DictReader(file)] == ["1", "2"]
    other = json.loads((folder / "spec.json").read_text())
    other["optim"]["lr"] = 1.0
    (folder / "spec.json").write_text(json.dumps(other))
    assert planned.finished() is None


def test_scale_is_one_of_two_words(monkeypatch):
    monkeypatch.delenv("SCALE", raising=False)
    assert studies.scale_asked() == "tiny"
    monkeypatch.setitem(os.environ, "SCALE", "huge")
    with pytest.raises(SystemExit, match="tiny, paper"):
        studies.scale_asked()


def test_interval_is_students():
    values = [1.0, 2.0, 4.0, 4.5, 7.0]
    found = Interval.of(values)
    low, high = stats.t.interval(0.95, 4, np.mean(values), stats.sem(values))
    assert (found.mean, found.low, found.high) == pytest.approx((3.7, low, high), rel=1e-3)
    assert {n: round(float(stats.t.ppf(0.975, n - 1)), 3) for n in studies.T_975} == studies.T_975
    assert [Interval(0, *ends).sign for ends in ((0.1, 0.2), (-0.2, -0.1), (-0.1, 0.1))] == [1, -1, 0]
    assert str(Interval(-0.01234, -0.1, 0.2)) == "−0.012 [−0.100, +0.200]"


def rows_of(variant, seeds):
    return [{"variant": variant, "seed": s, "step": t, "h": str(s + t)} for s in seeds for t in range(1, 11)]


def test_seeds_are_paired_by_number_and_not_by_place():
    curves = seed_curves.by_variant([*rows_of("grpo", (1, 2, 3)), *rows_of("other", (3, 1))], "h")
    assert list(curves["other"]) == [1, 3]
    assert seed_curves.end_of(curves["grpo"])[1] == 1 + 8
    assert seed_curves.mean_of(curves["grpo"])[2] == 2 + 5.5
    assert seed_curves.sum_of(curves["grpo"])[3] == 30 + 55
    assert seed_curves.smoothed(curves)["grpo"][1][[0, 1, 9]] == pytest.approx([2, 2.5, 9])
    apart = seed_curves.difference(seed_curves.end_of(curves["other"]), seed_curves.end_of(curves["grpo"]))
    assert (apart.mean, apart.low, apart.high) == (0, 0, 0)


def test_the_eight_schemes_and_what_their_names_promise():
    files = {path.stem for path in quadrants.HERE.glob("*.yaml")} - {"base"}
    assert files == {scheme.stem for scheme in quadrants.SCHEMES}
    lowers_when_strong = {1: True, 2: False, 3: True, 4: False}
    for scheme in quadrants.SCHEMES:
        (item,) = Planned(quadrants.HERE / f"{scheme.stem}.yaml", 1).load().spec.algorithm.interventions
        factors = {number: getattr(item, f"factor_{number}") for number in lowers_when_strong}
        ((number, factor),) = [pair for pair in factors.items() if pair[1] != 1]
        assert scheme.rises == (lowers_when_strong[number] == (factor < 1))
        assert scheme.label.startswith(f"{'strengthen' if factor > 1 else 'weaken'} {number} (")


def test_verdicts_table_and_sentence():
    rises, falls = quadrants.SCHEMES[0], quadrants.SCHEMES[4]
    up, down, wide = Interval(0.2, 0.1, 0.3), Interval(-0.2, -0.3, -0.1), Interval(0.1, -0.1, 0.3)
    assert [quadrants.verdict(rises, each) for each in (up, down, wide)] == ["agrees", "opposite", "not detectable"]
    assert [quadrants.verdict(falls, each) for each in (up, down)] == ["opposite", "agrees"]
    flat = {"grpo": {s: np.full(20, 0.3) for s in (1, 2, 3)}}
    entropy = flat | {rises.stem: {s: np.full(20, 0.4 + s / 1000) for s in (1, 2, 3)}}
    (row,) = quadrants.table_of(entropy, entropy, entropy)
    assert (row.seeds, row.verdict, round(row.curve.mean, 4), round(row.within.mean, 4)) == (3, "agrees", 0.102, 2.04)
    text = quadrants.sentence([row], 3)
    assert "1 move entropy as the theory says (weaken 1 (right, likely) +0.102" in text
    assert text.endswith(").\n")
    assert quadrants.markdown([row]).count("\n") == 2


def test_token_weights_by_bin_and_by_rank():
    rng = np.random.default_rng(1)
    x, y = rng.integers(0, 5, 200).astype(float), rng.normal(size=200)
    assert tokens.rank_correlation(x, y) == pytest.approx(stats.spearmanr(x, y).statistic)
    weight = np.array([1.0] * 20 + [0.5] * 20 + [0.1] * 3)
    change = np.array([0.5] * 20 + [1.5] * 20 + [2.5] * 3)
    found = tokens.mean_weight(change, weight, np.array([0.0, 1.0, 2.0, 3.0]))
    assert found[:2].tolist() == [1.0, 0.5]
    assert math.isnan(found[2])


def test_results_go_between_their_marks(tmp_path):
    studies.write_result(tmp_path, "fig8", "It rises.\n")
    assert (tmp_path / "fig8.txt").read_text() == "It rises.\n"
    readme = tmp_path / "README.md"
    readme.write_text("a\n<!-- fig8: written by the study -->\nold\n<!-- end of fig8 -->\nb\n")
    studies.write_result(tmp_path, "fig8", "It falls.\n")
    marks = "<!-- fig8: written by the study -->", "<!-- end of fig8 -->"
    assert readme.read_text() == f"a\n{marks[0]}\nIt falls.\n{marks[1]}\nb\n"
    studies.write_result(tmp_path, "fig8", "It falls.\n", shown="| table |")
    assert readme.read_text() == f"a\n{marks[0]}\n| table |\n{marks[1]}\nb\n"


@pytest.mark.parametrize("study", STUDIES)
def test_every_readme_has_its_marks(study):
    text = (studies.HERE.parent / study / "README.md").read_text(encoding="utf-8")
    begun = [
        line.split()[1].removesuffix(":") for line in text.splitlines() if line.endswith("written by the study -->")
    ]
    assert begun
    assert all(text.count(f"<!-- end of {name} -->") == 1 for name in begun)
