"""The generated pages are current and complete."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from steerctl.plugins import registry
from steerctl.spec.cards import ROOMS, cards
from steerctl.spec.effects import read_effects
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


def test_every_method_has_its_line_in_the_table_of_interventions() -> None:
    page = interventions_page()
    for room in ROOMS:
        for kind, card in cards(room).items():
            (line,) = (
                line
                for line in page.splitlines()
                if re.match(rf"\| (\[`{kind}`\]|`{kind}` \|)", line) and card.idea[:40] in line
            )
            assert f"| {card.factors or '-'} | {card.scope} | {card.denominator} |" in line


def test_what_was_measured_is_on_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "effects.csv"
    monkeypatch.setattr("steerctl.spec.pages.read_effects", lambda: read_effects(path))
    assert interventions_page().count("Measured: not measured\n") == len(registry("steerctl.intervention"))
    names = "room,kind,seeds,entropy_difference,entropy_low,entropy_high,accuracy_difference,accuracy_low,accuracy_high"
    path.write_text(f"{names},date,command\nintervention,kl,3,0.5,0.4,0.6,0,-1,1,today,measure.py kl\n")
    page = interventions_page()
    assert "| P | - | all | +0.500 [+0.400, +0.600] | +0.000 [−1.000, +1.000] | KL penalty" in page
    assert "Measured: entropy +0.500 [+0.400, +0.600] nats, accuracy " in page
