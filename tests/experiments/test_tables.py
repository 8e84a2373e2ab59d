"""Tables and accuracy figures: plans that fit their sweeps, planted runs that come out right, the paper's shapes."""

from __future__ import annotations

import csv
import json
import re
from types import SimpleNamespace

import pyarrow as pa
import pytest

from experiments.paper import first_steps, split
from experiments.tables import published, tables
from experiments.tables.plans import BEFORE, PLANS
from experiments.tables.published import Published
from experiments.tables.reading import Done, at_step_of, by_length, read_cells
from experiments.tables.writing import csv_rows, markdown, sentence, table_of
from steerctl.spec.checks import check_spec
from steerctl.spec.load import load_spec
from steerctl.sweep.command import check_sweep, plan_sweep
from steerctl.sweep.fairness import clip_bounds

STEPS = load_spec(tables.ROOT / "experiments/study/base.yaml").spec.steps
PAPER = sorted({plan.parts["paper"].sweep for plan in PLANS.values()})


@pytest.fixture(scope="module")
def agendas():
    parts = [part for plan in PLANS.values() for part in plan.parts.values()]
    return {sweep: plan_sweep(str(tables.ROOT / sweep)) for sweep in {part.sweep for part in parts}}


@pytest.mark.parametrize(
    "table", [value for value in vars(published).values() if isinstance(value, Published)], ids=lambda each: each.source
)
def test_the_papers_averages_are_those_of_its_columns(table):
    assert {len(values) for values in table.rows.values()} == {len(table.columns)}
    if table.averaged:
        for *values, average in table.rows.values():
            assert sum(values) / len(values) == pytest.approx(average, abs=0.06)


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_every_row_is_a_variant_and_every_published_row_is_shown(plan, agendas):
    for part in plan.parts.values():
        names = {variant.name for variant in agendas[part.sweep].variants}
        assert set(part.variants) <= names
        assert {row.variant for row in part.rows} - {BEFORE} <= names
    labels = {row.label for row in plan.parts["paper"].rows}
    assert set(plan.published.rows if plan.published else ()) <= labels


@pytest.mark.parametrize("sweep", PAPER)
def test_the_papers_sweeps_pass_the_check_at_the_papers_shape(sweep, agendas):
    agenda = agendas[sweep]
    assert [each for each in check_sweep(agenda, None) if each.level == "error"] == []
    for variant in agenda.variants:
        spec = variant.spec
        assert (spec.rollout.problems_per_step, spec.rollout.group_size, spec.optim.updates_per_step) == (512, 8, 16)
        assert (spec.optim.lr, spec.data.max_prompt_tokens, spec.rollout.max_tokens) == (1e-6, 1024, 3072)
        assert (spec.algorithm.loss.dual_clip, spec.engine.ranks, spec.steps) == (10, 8, 200)
        assert spec.data.validation is not None
        assert spec.evaluation.folder == "benchmarks"
        extreme, bounds = variant.name.startswith("extreme"), clip_bounds(spec)
        if variant.name != "kl_cov":
            assert (bounds["clip_ratio_low"], bounds["clip_ratio_high"] == 5) == (0.99 if extreme else 0.2, extreme)


def test_the_models_are_the_papers(agendas):
    found = {variant.spec.policy.model for sweep in PAPER for variant in agendas[sweep].variants}
    coders = {f"Qwen/Qwen2.5-Coder-{size}" for size in ("3B", "7B", "14B")}
    assert found == coders | {"Qwen/Qwen2.5-Math-7B", "Qwen/Qwen2.5-14B", "Qwen/Qwen2.5-Math-1.5B"}


@pytest.mark.parametrize("target", first_steps.EXAMPLES)
def test_a_shrunken_experiment_keeps_batch_and_algorithm(target, agendas, monkeypatch):
    file, _, name = target.partition(":")
    full = next(each.spec for each in agendas[f"experiments/paper/{file}.yaml"].variants if each.name == name)
    for arithmetic in (False, True):
        monkeypatch.setattr(first_steps, "data_file", lambda name: f"/there/{name}")
        small = first_steps.shrunken(full, "x", arithmetic=arithmetic)
        assert small.algorithm == full.algorithm
        assert small.optim == full.optim
        assert small.rollout.sequences_per_step == 4096
        assert small.data.train.kind == ("arithmetic" if arithmetic else full.data.train.kind)
        assert small.reward.verifier.kind == ("arithmetic" if arithmetic else full.reward.verifier.kind)
        assert [each for each in check_spec(small, None) if each.level == "error"] == []


def test_rows_of_other_targets_stay(tmp_path):
    path = tmp_path / "rows.csv"
    first_steps.write([{"target": "b", "seconds": 1}], path)
    first_steps.write([{"target": "a", "seconds": 2}], path)
    first_steps.write([{"target": "b", "seconds": 3}], path)
    assert path.read_text() == "target,seconds\na,2\nb,3\n"


def test_validation_is_held_out_by_question():
    texts = [f"question {number // 2}" for number in range(40)]  # each twice, the second with other white space
    turns = [[{"content": text.replace(" ", " " * (1 + n % 2)), "role": "user"}] for n, text in enumerate(texts)]
    train, held = split.split(pa.table({"prompt": turns, "n": list(range(40))}), 5)
    numbers = [set(part["n"].to_pylist()) for part in (train, held)]
    assert len(numbers[1]) == 10
    assert numbers[0] | numbers[1] == set(range(40))
    assert {n // 2 for n in numbers[0]} & {n // 2 for n in numbers[1]} == set()
    assert split.held_out(texts, 5) == split.held_out(texts[::-1], 5)
    with pytest.raises(ValueError, match="20 questions cannot give 20"):
        split.held_out(texts, 20)


def plant(folder, variant, seed, accuracy, entropy, *, state="finished", steps=STEPS):
    run = folder / "study" / "runs" / f"{variant}-seed{seed}"
    run.mkdir(parents=True)
    (run / "spec.json").write_text("{}")
    (run / "status.json").write_text(json.dumps({"state": state, "step": steps, "error": None}))
    lines = [{"step": 0, "validation/accuracy/mean": 0.25}]
    lines += [{"step": step, "policy/entropy/mean": entropy if step > 1 else 0.33} for step in range(1, steps + 1)]
    lines[-1]["validation/accuracy/mean"] = accuracy
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.fixture
def planted(tmp_path, monkeypatch):
    for seed in (1, 2, 3):
        plant(tmp_path, "grpo", seed, 0.30 + seed / 100, 0.08)
        plant(tmp_path, "opo", seed, 0.30 + seed / 100, 0.08 + seed / 1e6)
        plant(tmp_path, "steer_paper_v4", seed, 0.40 + seed / 100 + seed / 1000, 0.05)
    plant(tmp_path, "clip_cov", 1, 0.9, 0.9, state="running")
    plant(tmp_path, "kl_cov", 1, 0.9, 0.9, steps=STEPS - 1)
    monkeypatch.setattr(tables, "overrides_of", lambda part: [f"output={tmp_path}"])
    part = PLANS["table3"].parts["tiny"]
    agenda = plan_sweep(str(tables.ROOT / part.sweep), [f"output={tmp_path}"], part.variants)
    return table_of(PLANS["table3"], "tiny", read_cells(agenda, part.variants))


def test_a_table_of_planted_runs(planted):
    rows = {(row["method"], row["number"]): row for row in csv_rows(planted) if row["source"] == "run"}
    accuracy = "validation/accuracy/mean"
    assert {method for method, _ in rows} == {"Base", "GRPO", "OPO", "STEER"}
    assert rows["Base", accuracy]["mean"] == 0.25
    assert rows["Base", "policy/entropy/mean"]["mean"] == 0.33
    assert rows["GRPO", accuracy]["mean"] == pytest.approx(0.32)
    steer = rows["STEER", accuracy]
    assert steer["difference"] == pytest.approx(0.102)
    assert (steer["pairs"], steer["baseline"], steer["finding"]) == (3, "grpo", "higher")
    assert rows["OPO", accuracy]["finding"] == "no detectable difference"
    text = markdown(planted)
    line = next(line for line in text.splitlines() if line.startswith("| STEER"))
    assert line.startswith("| STEER | 3 | 42.2 [39.5, 44.9] | +10.2 [+10.0, +10.4] | <0.001 |")
    assert line.endswith("| 48.6 | +4.4 |")
    assert "| STEER | 36.2 | 16.1 | 72.1 | 82.2 | 41.7 | 43.0 | 48.6 |" in text
    said = sentence(planted)
    assert said.startswith("9 of 60 cells are finished, so the rest may still change what follows. Accuracy: 1 of 2 ")
    assert "(STEER +10.2 [+10.0, +10.4])" in said


def test_files_of_a_table_and_of_both_figures(planted, tmp_path):
    for name in ("table3", "fig12", "fig17", "table6"):
        assert tables.write(PLANS[name], "tiny", tmp_path / "out")
    there = {path.name for path in (tmp_path / "out").iterdir()}
    assert there >= {"table3.csv", "table3.md", "table3.tex", "fig12.svg", "fig12_steps.csv", "fig17.png", "table6.txt"}
    assert "nothing can be said yet" in (tmp_path / "out" / "table6.txt").read_text()
    tex = (tmp_path / "out" / "fig17.tex").read_text()
    assert r"STEER, $\lambda$\_min 0.7 & 3 &" in tex
    assert all(len(re.findall(r"(?<!\\)&", line)) == 13 for line in tex.splitlines() if line.endswith(r" \\"))
    with (tmp_path / "out" / "fig12_steps.csv").open() as file:
        steps = [row for row in csv.DictReader(file) if row["method"] == "STEER"]
    assert [(row["step"], row["seeds"]) for row in steps] == [("0", "3"), (str(STEPS), "3")]


def test_accuracy_by_length_of_the_problem_and_at_a_chosen_step():
    table = SimpleNamespace(prompt=["1+2=?", "1+2-3=?", "9+9-9+1=?", "1+2+3+4+5=?"], verdict=[1.0, 0.0, 1.0, 0.0])
    record = SimpleNamespace(validation_steps=lambda: [0, 7], read_validation={7: table}.get)
    lines = [{"step": 0, "a": 9.0, "b": 0.0}, {"step": 10, "a": 1.0, "b": 5.0}, {"step": 20, "a": 0.5, "b": 8.0}]
    done = Done(record, lines, 1)
    assert [by_length(few)(done) for few in ((2,), (3,), (4, 5), (6,))] == [1.0, 0.0, 0.5, None]
    assert at_step_of("a", "b")(done) == 5.0
    assert at_step_of("c", "b")(done) is None


def test_where_the_files_of_programs_are(tmp_path, monkeypatch):
    part = PLANS["table5"].parts["tiny"]
    monkeypatch.setenv(tables.SHARED, str(tmp_path))
    with pytest.raises(SystemExit, match="table5 needs code/mbpp"):
        tables.overrides_of(part)
    (tmp_path / "code").mkdir()
    spec = plan_sweep(str(tables.ROOT / part.sweep), tables.overrides_of(part)).variants[0].spec
    assert spec.data.train.path.endswith(f"{tmp_path.name}/code/mbpp.jsonl")
    assert spec.data.validation.without.endswith("code/MbppPlus.jsonl.gz")
    assert spec.evaluation.folder.endswith(tmp_path.name)
    assert tables.overrides_of(PLANS["table3"].parts["tiny"]) == []
