"""Evaluations side by side: every one against the first, on the same questions and prompts or not at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from steerctl.errors import UserError
from steerctl.evaluation.paired import Comparison, Samples, compare, compare_macro
from steerctl.evaluation.permutation import holm
from steerctl.store.evaluations import EvaluationFolder

SAME = {"questions": ("dataset", "hash"), "prompts": ("prompt_hash",)}
"""What must agree for a paired comparison to mean anything: where its hash stands in a benchmark's result."""
MACRO = "mean"


@dataclass(frozen=True, slots=True)
class Against:
    """One evaluation against the first.

    accuracies   of both, first the first's
    comparison   this one minus the first
    p_corrected  Holm's, over all benchmarks and all evaluations compared; None for the mean, which is a test by itself
    """

    path: Path
    benchmark: str
    accuracies: tuple[float, float]
    comparison: Comparison
    p_corrected: float | None


@dataclass(frozen=True, slots=True)
class Versus:
    """Every comparison, by evaluation and then benchmark, the mean over benchmarks last; and what is to be said."""

    first: Path
    rows: tuple[Against, ...]
    notes: tuple[str, ...]


def versus(paths: Sequence[Path]) -> Versus:
    """Paired comparisons of finished evaluations with the first of them.

    Raises:
        UserError: there are fewer than two, or no benchmark is in all of them.
        UserError: questions or prompts differ; the text says in which benchmarks.
        RunFolderError, DataError: a folder holds no finished evaluation, or a response is missing.
    """
    if len(paths) < 2:
        raise UserError("a comparison needs two evaluations or more; name their folders")
    folders = [EvaluationFolder(path) for path in paths]
    results = [folder.read()["benchmarks"] for folder in folders]
    names = [name for name in results[0] if all(name in result for result in results)]
    if not names:
        raise UserError("no benchmark is in all of these evaluations; there is nothing to compare")
    _require_same(paths, results, names)
    ids = {name: sorted(folders[0].responses(name).ids) for name in names}
    verdicts = [{name: folder.responses(name).of(ids[name]).verdicts_PG for name in names} for folder in folders]
    clusters = {name: _clusters(results[0][name], ids[name]) for name in names}
    found: dict[tuple[int, str], Comparison] = {}
    for index in range(1, len(paths)):
        samples = {name: Samples(verdicts[index][name], verdicts[0][name], clusters[name]) for name in names}
        found |= {(index, name): compare(each) for name, each in samples.items()}
        if len(names) > 1:
            found[index, MACRO] = compare_macro(samples)
    corrected = holm({f"{index} {name}": each.p_value for (index, name), each in found.items() if name != MACRO})
    rows = [
        Against(paths[index], name, _accuracies(results, index, name, names), each, corrected.get(f"{index} {name}"))
        for (index, name), each in found.items()
    ]
    return Versus(paths[0], tuple(rows), tuple(_notes(paths, results, names)))


def _require_same(paths: Sequence[Path], results: Sequence[Mapping[str, Any]], names: Sequence[str]) -> None:
    different = [
        f"{name}: the {what} of {path} and {paths[0]} differ"
        for path, result in zip(paths[1:], results[1:], strict=True)
        for name in names
        for what, where in SAME.items()
        if _at(result[name], where) != _at(results[0][name], where)
    ]
    if different:
        raise UserError(f"these cannot be compared pair by pair; evaluate both alike: {'; '.join(different)}")


def _notes(paths: Sequence[Path], results: Sequence[Mapping[str, Any]], names: Sequence[str]) -> list[str]:
    """What differs and may be meant, and what is left aside."""
    notes = []
    aside = sorted({name for result in results for name in result} - set(names))
    if aside:
        notes.append(f"not in all of them, left aside: {', '.join(aside)}")
    for path, result in zip(paths[1:], results[1:], strict=True):
        for what in ("sampling", "grader", "rendered_hash"):
            changed = [name for name in names if result[name].get(what) != results[0][name].get(what)]
            if changed:
                said = {"rendered_hash": "the chat template or tokenizer"}.get(what, f"the {what}")
                notes.append(f"{said} of {path} and {paths[0]} differs in {', '.join(changed)}")
    return notes


def _accuracies(
    results: Sequence[Mapping[str, Any]], index: int, name: str, names: Sequence[str]
) -> tuple[float, float]:
    chosen = names if name == MACRO else [name]
    first, other = (
        sum(result[each]["accuracy"]["value"] for each in chosen) / len(chosen)
        for result in (results[0], results[index])
    )
    return first, other


def _clusters(record: Mapping[str, Any], ids: Sequence[str]) -> list[str] | None:
    labels = record.get("clusters")
    return None if labels is None else [labels.get(each, each) for each in ids]


def _at(record: Mapping[str, Any], where: Sequence[str]) -> Any:  # noqa: ANN401 (JSON)
    found: Any = record
    for key in where:
        found = found[key]
    return found
