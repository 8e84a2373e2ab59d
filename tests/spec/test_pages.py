"""The generated pages are current and complete."""

from __future__ import annotations

from pathlib import Path

import pytest

from steerctl.plugins import registry
from steerctl.spec.pages import config_page, interventions_page, pages
from steerctl.spec.shape import known_paths

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", sorted(pages()))
def test_page_is_current(name: str) -> None:
    written = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert written == pages()[name], "the models changed: run `make docs`"


def test_every_key_is_on_the_page() -> None:
    page = config_page()
    for path, _ in known_paths():
        key = ".".join(str(part) for part in path)
        if path[-1] != "kind" and not key.startswith(("algorithm.interventions.", "data.validation.")):
            assert f"| `{key}` |" in page


def test_every_intervention_is_on_its_page() -> None:
    page = interventions_page()
    for kind, model in registry("steerctl.intervention").items():
        assert f"## `{kind}`" in page
        for name in model.model_fields:
            assert name == "kind" or f"| `{name}` |" in page
