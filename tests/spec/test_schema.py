"""The JSON Schema accepts what the loader accepts, and completes what an editor asks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from steerctl.spec import tree
from steerctl.spec.schema import experiment_schema, schema_text
from steerctl.sweep.load import is_sweep

ROOT = Path(__file__).resolve().parents[2]
VALIDATOR = Draft202012Validator(experiment_schema())


def errors(text: str) -> list[str]:
    return [error.message for error in VALIDATOR.iter_errors(tree.plain(tree.parse(text, "f.yaml")))]


def nodes(node: object) -> Iterator[dict]:
    if isinstance(node, dict):
        yield node
        for value in node.values():
            yield from nodes(value)
    elif isinstance(node, list):
        for value in node:
            yield from nodes(value)


def test_it_is_a_schema_and_strict_json() -> None:
    Draft202012Validator.check_schema(experiment_schema())
    json.loads(schema_text(), parse_constant=pytest.fail)


def test_references_lead_somewhere() -> None:
    schema = experiment_schema()
    for node in nodes(schema):
        if "$ref" in node:
            assert node["$ref"].removeprefix("#/$defs/") in schema["$defs"]


@pytest.mark.parametrize(
    "path",
    [path for path in sorted(ROOT.glob("experiments/**/*.yaml")) if not is_sweep(path)],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_every_experiment_file_fits(path: Path) -> None:
    assert errors(path.read_text(encoding="utf-8")) == []


FULL = "name: a\ndata: {train: {kind: verl, path: x}}\nreward: {verifier: {kind: math_verify}}\n"


@pytest.mark.parametrize(
    "text",
    [
        FULL,
        FULL + "algorithm: {loss: {clip_ratio_high: 0.3}}\n",
        FULL + "algorithm: {interventions: [{kind: kl, kl_coef: 0.1}]}\n",
        FULL + "log: {wandb: off}\n",
        "extends: other.yaml\n",
        "extends: other.yaml\ndata: {train: {path: y}}\nalgorithm: {interventions: [{kind: kl}]}\n",
    ],
)
def test_accepted(text: str) -> None:
    assert errors(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "name: a\n",
        FULL + "nmae: b\n",
        FULL + "optim: {lr: fast}\n",
        FULL + "algorithm: {loss: {kind: nothing}}\n",
        FULL + "algorithm: {interventions: [{kl_coef: 0.1}]}\n",
        FULL + "algorithm: {interventions: [{kind: kl, kl_cof: 0.1}]}\n",
        "name: a\ndata: {train: {kind: verl, path: x}}\nreward: {verifier: {}}\n",
        "extends: other.yaml\nnmae: b\n",
        "extends: other.yaml\nalgorithm: {interventions: [{kl_coef: 0.1}]}\n",
        "extends: 3\n",
    ],
)
def test_refused(text: str) -> None:
    assert errors(text)


def test_descriptions_are_the_docstrings() -> None:
    steps = experiment_schema()["$defs"]["ExperimentSpec"]["properties"]["steps"]
    assert steps["description"] == "Sample-and-train iterations."
    assert steps["default"] == 100


def test_snapshot_is_current() -> None:
    path = ROOT / "tests" / "golden" / "experiment.schema.json"
    assert path.read_text(encoding="utf-8") == schema_text(), "a setting changed: look at the difference, `make golden`"


def test_yaml_1_1_readers_agree_on_the_experiments() -> None:
    """Other tools read `off` as false and `1e-6` as text; nothing but those may differ."""
    for path in sorted(ROOT.glob("experiments/**/*.yaml")):
        ours = tree.plain(tree.parse(path.read_text(encoding="utf-8"), str(path)))
        theirs = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert list(ours) == [{True: "on", False: "off"}.get(key, key) for key in theirs]
