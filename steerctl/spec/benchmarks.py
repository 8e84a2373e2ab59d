"""The data set and the judge of each benchmark, as an evaluation asks for them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import TypeAdapter, ValidationError

from steerctl.data import Dataset
from steerctl.data.benchmark import EXAMPLES
from steerctl.errors import SpecError
from steerctl.plugins import AnyOf
from steerctl.reward import VerifierSpec
from steerctl.spec.evaluation import EvaluationSpec
from steerctl.spec.suites import Benchmark, benchmarks_of


def dataset_of(benchmark: Benchmark, evaluation: EvaluationSpec) -> Dataset:
    """The data set, with those settings of the evaluation that it knows.

    Raises:
        SpecError: a setting does not fit it.
    """
    folder, settings = evaluation.folder, dict(benchmark.dataset)
    if folder is not None and folder != EXAMPLES and (inside := Path(folder).expanduser() / benchmark.area).is_dir():
        folder = str(inside)
    if paths := tuple(str(Path(folder or ".") / name) for name in benchmark.files):
        settings |= {"path": paths[0]} if len(paths) == 1 else {"paths": paths}
    elif benchmark.area == "math":
        settings |= {"folder": folder, "gold": evaluation.gold, "preset": evaluation.preset}
    found: Dataset = _made(_datasets(), settings, f"{benchmark.name}: its data set")
    return found


def verifier_of(benchmark: Benchmark, evaluation: EvaluationSpec) -> VerifierSpec:
    """The judge. Raises SpecError."""
    if evaluation.verifier is not None and benchmark.area == "math":
        return evaluation.verifier
    unsafe = {"unsafe_local_exec": True} if benchmark.area == "code" and evaluation.unsafe_local_exec else {}
    found: VerifierSpec = _made(_verifiers(), {**benchmark.verifier, **unsafe}, f"{benchmark.name}: its judge")
    return found


def missing_files(evaluation: EvaluationSpec) -> dict[str, tuple[str, ...]]:
    """Files that are not there, by benchmark. Raises SpecError."""
    found = {each.name: dataset_of(each, evaluation).missing_files() for each in benchmarks_of(evaluation.suite)}
    return {name: files for name, files in found.items() if files}


@cache
def _datasets() -> TypeAdapter[Any]:
    return TypeAdapter(Annotated[Dataset, AnyOf("steerctl.data")])


@cache
def _verifiers() -> TypeAdapter[Any]:
    return TypeAdapter(Annotated[VerifierSpec, AnyOf("steerctl.reward")])


def _made(adapter: TypeAdapter[Any], settings: Mapping[str, Any], what: str) -> Any:  # noqa: ANN401 (a plug-in)
    try:
        return adapter.validate_python({**settings})
    except ValidationError as error:
        first = error.errors()[0]
        raise SpecError(f"{what} cannot be had: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
