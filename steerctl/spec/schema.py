"""The JSON Schema (2020-12) of experiment files, so that editors complete and check them."""

from __future__ import annotations

import json
import math
from typing import Any

from steerctl.spec.experiment import ExperimentSpec

Schema = dict[str, Any]
PARTIAL = "Partial"
EXTENDS: Schema = {
    "type": "string",
    "minLength": 1,
    "description": "Another experiment file, relative to this one; this file's values go over its values.",
}


def experiment_schema() -> Schema:
    """The schema of a whole file, and of a file that extends another: there every mapping may be incomplete.

    List items are complete in both, because lists are replaced whole.
    """
    generated = ExperimentSpec.model_json_schema()
    definitions: dict[str, Schema] = generated.pop("$defs")
    definitions["ExperimentSpec"] = generated
    every = {name: _complete(schema) for name, schema in definitions.items()}
    every |= {f"{PARTIAL}{name}": _partial(schema) for name, schema in definitions.items()}
    partial = every[f"{PARTIAL}ExperimentSpec"]
    partial["properties"] = {"extends": EXTENDS, **partial["properties"]}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "steerctl experiment",
        "if": {"required": ["extends"]},
        "then": {"$ref": f"#/$defs/{PARTIAL}ExperimentSpec"},
        "else": {"$ref": "#/$defs/ExperimentSpec"},
        "$defs": dict(sorted(every.items())),
    }


def schema_text() -> str:
    """The schema as it is written to a file."""
    text = json.dumps(experiment_schema(), indent=2, ensure_ascii=False, allow_nan=False)
    return text.replace("None:", "null:") + "\n"  # as it is written in YAML


def _complete(node: Any) -> Any:  # noqa: ANN401 (any JSON value)
    """A plug-in without a default must name its kind; with one, `kind` may be left out, as the loader allows."""
    if isinstance(node, list):
        return [_complete(item) for item in node]
    if not isinstance(node, dict):
        return node
    done = {key: _complete(value) for key, value in node.items() if key != "discriminator" and not _endless(key, value)}
    if "discriminator" in node:
        if "default" in node:
            done["anyOf"] = done.pop("oneOf")
        else:
            done["required"] = ["kind"]
    return done


def _partial(node: Any) -> Any:  # noqa: ANN401 (any JSON value)
    """The same with nothing required, down to the first list."""
    if isinstance(node, list):
        return [_partial(item) for item in node]
    if not isinstance(node, dict):
        return node
    done: Schema = {}
    for key, value in node.items():
        if key in ("items", "prefixItems"):
            done[key] = _complete(value)
        elif key == "$ref":
            done[key] = value.replace("#/$defs/", f"#/$defs/{PARTIAL}")
        elif key == "oneOf":
            done["anyOf"] = _partial(value)
        elif key == "properties":
            done[key] = {name: _partial(schema) for name, schema in value.items()}
        elif key not in ("required", "discriminator", "default"):
            done[key] = _partial(value)
    return done


def _endless(key: str, value: object) -> bool:
    """A default of infinity, which JSON cannot write; the description says it."""
    return key == "default" and isinstance(value, float) and not math.isfinite(value)
