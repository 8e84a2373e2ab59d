"""The house rules that a machine can check; the rest is in docs/."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from steerctl.plugins import registry
from steerctl.spec.load import load_spec
from steerctl.sweep.agenda import Agenda
from steerctl.sweep.load import is_sweep, load_sweep

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "steerctl"
MAX_FILE, MAX_FUNCTION, MAX_NESTING = 300, 50, 3
MAX_INTERVENTION = 120
"""Lines of a public file in steerctl/intervention/, docstring and all: a method is read at one sitting."""
PUBLISHED = ("steerctl.advantage", "steerctl.intervention", "steerctl.loss")
"""Rooms whose plug-ins are published methods, or say that they are ours."""
ROOMS = ("steerctl.advantage", "steerctl.data", "steerctl.intervention", "steerctl.loss", "steerctl.reward")
BLOCKS = (ast.For, ast.While, ast.Try, ast.Match)

TESTED_ELSEWHERE = {
    "__main__.py": "one call of cli.main; every test in tests/cli goes through it",
    "analysis/columns.py": "data only; tests/analysis/test_table.py: every column is written",
    "cli/train.py": "tests/cli/test_main.py: what a user sees; the command itself is one call of run/experiment.py",
    "engine/export.py": "tests/engine/test_policy.py: exported models load, with equal weights",
    "engine/master.py": "tests/engine/test_policy.py and test_checkpoint.py",
    "engine/probe_zero3.py": "tests/engine/test_probes.py: run in a process of its own",
    "engine/quiet.py": "tests/run/test_faults.py: nothing but our one line on standard error",
    "engine/rank_main.py": "tests/engine/test_launch.py",
    "engine/ranks.py": "tests/engine/test_policy.py, tests/run/test_ranks.py",
    "engine/vllm/attached.py": "tests/engine/vllm/test_generator.py, against a real server",
    "engine/vllm/client.py": "tests/engine/vllm/test_generator.py, against a real server",
    "engine/vllm/fleet.py": "tests/engine/vllm/test_generator.py, against a real server",
    "engine/vllm/update.py": "tests/engine/vllm/test_transfer.py and test_generator.py, against a real server",
    "reward/grading/worker.py": "tests/reward/grading/test_pool.py: the worker is a process",
    "reward/sandbox/inside/candidate.py": "tests/reward/sandbox/test_check.py: it runs inside the sandbox",
    "reward/sandbox/inside/landlock.py": "tests/reward/sandbox/test_tiers.py: the attack list, tier landlock",
    "reward/sandbox/inside/seccomp.py": "tests/reward/sandbox/test_tiers.py: the attack list, every tier",
    "reward/sandbox/inside/server.py": "tests/reward/sandbox/test_tiers.py, test_pool.py: it is a process",
    "reward/sandbox/job.py": "tests/reward/sandbox/test_check.py: every way a run can end",
    "reward/sandbox/prepared.py": "tests/reward/sandbox/test_tests.py",
    "reward/sandbox/worker.py": "tests/reward/sandbox/test_pool.py: the worker is a process",
    "plugins.py": "tests/spec/test_shape.py and, below, that every plug-in file is found",
    "protocols.py": "signatures only",
    "spec/experiment.py": "tests/spec/test_load.py and every test that builds an experiment",
    "run/build.py": "tests/run/test_ranks.py, test_resume.py: whole runs",
    "run/collecting.py": "tests/run/test_ranks.py, test_replay.py, test_rollout.py: whole runs",
    "run/sampling.py": "tests/run/test_rollout.py, test_evaluate.py: real engines, killed and gone on with",
    "run/parity.py": "tests/engine/vllm/test_generator.py, against a real server; tests/run/test_vllm.py",
    "run/evaluate_parts.py": "tests/run/test_evaluate.py, test_evaluate_training.py: whole evaluations",
    "spec/benchmarks.py": "tests/spec/test_suites.py",
    "run/experiment.py": "tests/run/test_faults.py, test_resume.py: whole runs",
    "run/populations.py": "tests/run/test_step.py: what each scope sees and costs",
    "run/statistics.py": "tests/run/test_step.py",
    "run/train.py": "tests/run/test_resume.py, test_faults.py, test_ranks.py: whole runs",
    "run/asides.py": "tests/run/test_every_kind.py: branches and the teacher in a real step",
    "run/laboratory.py": "tests/run/test_analyze.py",
    "spec/analysis.py": "tests/spec/test_checks.py",
    "spec/branching.py": "tests/rollout/test_branch.py",
    "sweep/agenda.py": "tests/sweep/test_search.py and test_summary.py: jobs and tasks of a search, of a grid",
    "sweep/command.py": "tests/cli/test_sweep.py; whole sweeps in tests/sweep/test_worker.py",
    "sweep/jobs.py": "tests/sweep/test_study.py",
    "sweep/place.py": "tests/sweep/test_plan.py (what is frozen), test_study.py (badges, one change at a time)",
    "sweep/process.py": "tests/sweep/test_worker.py: cells that finish, fail, are killed and are stopped",
    "sweep/progress.py": "tests/sweep/test_summary.py: time left; tests/cli/test_sweep.py",
    "sweep/spec.py": "tests/sweep/test_load.py: what is accepted and refused",
    "types.py": "data only",
    "errors.py": "tests/cli/test_main.py: the exit code of each branch",
}
"""Modules without a test file of their own name, each with where it is tested."""


def sources() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """From `def` to the last line, the docstring not counted."""
    first = function.body[0]
    documented = (
        isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    )
    docstring = (first.end_lineno or 0) - first.lineno + 1 if documented else 0
    return (function.end_lineno or 0) - function.lineno + 1 - docstring


def nesting(node: ast.AST, depth: int = 0) -> int:
    """Deepest block inside a function; an `elif` is no deeper than its `if`."""
    deepest = depth
    for field, value in ast.iter_fields(node):
        for child in value if isinstance(value, list) else [value]:
            if not isinstance(child, ast.AST) or isinstance(child, ast.FunctionDef | ast.Lambda | ast.ClassDef):
                continue
            chained = isinstance(node, ast.If) and field == "orelse" and isinstance(child, ast.If)
            inner = isinstance(child, (*BLOCKS, ast.If)) and not chained
            deepest = max(deepest, nesting(child, depth + inner))
    return deepest


def plug_ins() -> list[tuple[str, str]]:
    return [(room, kind) for room in ROOMS for kind in registry(room)]


@pytest.mark.parametrize("path", sources(), ids=name_of)
def test_files_and_functions_fit_a_screen_or_two(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MAX_FILE
    long = {function.name: code_lines(function) for function in functions(path) if code_lines(function) > MAX_FUNCTION}
    assert long == {}
    deep = {function.name: nesting(function) for function in functions(path) if nesting(function) > MAX_NESTING}
    assert deep == {}


def test_an_intervention_is_read_at_one_sitting() -> None:
    lengths = {path.name: len(path.read_text("utf-8").splitlines()) for path in PACKAGE.glob("intervention/[a-z]*.py")}
    assert len(lengths) > 20
    assert {name: length for name, length in lengths.items() if length > MAX_INTERVENTION} == {}


def test_no_room_for_odds_and_ends() -> None:
    forbidden = {"utils", "util", "common", "helpers", "misc"}
    assert [name_of(path) for path in sources() if {path.stem, *path.relative_to(PACKAGE).parts} & forbidden] == []


def test_every_module_has_its_test() -> None:
    missing = []
    for path in sources():
        name = name_of(path)
        folder = ROOT / "tests" / path.relative_to(PACKAGE).parent
        if path.stem.startswith("_"):  # a room's base class and internals: tested through the room's own files
            tested = any(folder.glob("test_*.py"))
        else:
            tested = (folder / f"test_{path.stem}.py").is_file()
        if not tested and name not in TESTED_ELSEWHERE:
            missing.append(name)
    assert missing == []
    assert [name for name in TESTED_ELSEWHERE if not (PACKAGE / name).is_file()] == []


@pytest.mark.parametrize(("room", "kind"), plug_ins())
def test_a_plug_in_is_named_like_its_file_and_says_where_it_comes_from(room: str, kind: str) -> None:
    model = registry(room)[kind]
    assert model.__module__ == f"{room}.{kind}"
    if room not in PUBLISHED:
        return
    text = Path(inspect.getfile(model)).read_text(encoding="utf-8")
    assert re.search(r"Source|arXiv|\bour(s| own)\b", text), (
        "the docstring names a paper and equation, a repository, or us"
    )


def test_every_plug_in_file_is_found() -> None:
    for room in ROOMS:
        folder = PACKAGE / room.split(".")[1]
        specs = {
            path.stem for path in folder.glob("[a-z]*.py") if re.search(r"kind: Literal\[", path.read_text("utf-8"))
        }
        assert specs == set(registry(room))


@pytest.mark.parametrize(
    "path", sorted((ROOT / "experiments").rglob("*.yaml")), ids=lambda path: path.relative_to(ROOT).as_posix()
)
def test_every_experiment_loads(path: Path) -> None:
    if is_sweep(path):
        assert Agenda(load_sweep(path)).jobs
    else:
        assert load_spec(path).spec.name


def test_nothing_unpickles_or_evaluates_what_it_reads() -> None:
    forbidden = re.compile(r"\bpickle\.loads?\(|\beval\(|\bexec\(|yaml\.(load|unsafe_load|full_load)\(")
    judged = PACKAGE / "reward" / "sandbox" / "inside" / "candidate.py"  # (runs code under judgement, in the sandbox)
    read = [path for path in sources() if path != judged]
    hits = [name_of(path) for path in read if forbidden.search(re.sub(r"\.eval\(\)", "", path.read_text("utf-8")))]
    assert hits == []
    for path in sources():
        for line in path.read_text(encoding="utf-8").splitlines():
            if "torch.load(" in line:
                assert "weights_only=True" in line, name_of(path)


def test_the_step_fits_one_screen() -> None:
    """Statements, nested ones and the docstring counted."""
    (step,) = (each for each in functions(PACKAGE / "run" / "step.py") if each.name == "run_step")
    assert sum(isinstance(node, ast.stmt) for node in ast.walk(step)) - 1 <= 30


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))], ids=lambda path: path.name
)
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8"))
    missing = [target for target in targets if "://" not in target and not (page.parent / target).exists()]
    assert missing == []
