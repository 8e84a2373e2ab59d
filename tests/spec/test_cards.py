"""Every method says what it is in the order that the command line and the pages read."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from steerctl.errors import UserError
from steerctl.plugins import registry
from steerctl.spec.cards import FACTORS, ROOMS, cards, find_card, read_card, states_factors

TEXT = '''\
"""Mine: a first line
over two."""

from typing import Literal


class Helper:
    kind: Literal["other"] = "other"


class Mine:
    """weight *= 2

    over the tokens. Factors
    touched: the clip, and advantage (its sign). Entropy plays no part.

    Presets, each an entry of algorithm.interventions:

        paper: {kind: mine}

    Source: arXiv 0000.00000 Eq. 1.

    Departures: (1) none;
    (2) really.
    """

    kind: Literal["mine"] = "mine"
    scope: str = "update"
    mine_denominator: str = "selected"
'''


def card_of(tmp_path: Path, text: str):
    path = tmp_path / "mine.py"
    path.write_text(text, encoding="utf-8")
    return read_card("intervention", "mine", path)


def test_the_parts_of_a_card(tmp_path: Path) -> None:
    card = card_of(tmp_path, TEXT)
    assert card is not None
    assert card.idea == "Mine: a first line over two."
    assert card.formula.splitlines()[0] == "weight *= 2"
    assert card.formula.endswith("Entropy plays no part.")
    assert (card.factors, card.scope, card.denominator) == ("CA", "update", "selected")
    assert card.presets.splitlines()[-1] == "    paper: {kind: mine}"
    assert card.source == "Source: arXiv 0000.00000 Eq. 1."
    assert card.departures == "Departures: (1) none;\n(2) really."


@pytest.mark.parametrize(
    ("said", "factors"),
    [
        ("Factors touched: all four (clip by I).", "CAPE"),
        ("All four factors: clip (I), advantage, probability, entropy.", "CAPE"),
        ("Factor touched: the token's probability, relative to entropy's kin", "PE"),
        ("Factors touched: none.", ""),
        ("Entropy is the factor.", ""),
    ],
)
def test_factors(tmp_path: Path, said: str, factors: str) -> None:
    card = card_of(tmp_path, f'class Mine:\n    """x\n\n    {said}\n    """\n    kind: str = "mine"\n')
    assert card is not None
    assert card.factors == factors
    assert states_factors(card.text) == ("touched" in said or "All four" in said)


def test_a_fixed_scope_is_read_from_the_property(tmp_path: Path) -> None:
    prop = '    @property\n    def population_scope(self) -> str:\n        """x"""\n        return "step"\n'
    card = card_of(tmp_path, f'class Mine:\n    """x"""\n    kind: str = "mine"\n{prop}')
    assert card is not None
    assert (card.scope, card.denominator, card.source, card.idea) == ("step", "all", "", "x")


def test_a_fixed_scope_may_be_a_class_variable(tmp_path: Path) -> None:
    own = '    kind: str = "mine"\n    population_scope: ClassVar[str] = "step"\n'
    card = card_of(tmp_path, f'class Mine:\n    """x"""\n{own}')
    assert card is not None
    assert card.scope == "step"


def test_a_file_without_the_kind_or_without_sense(tmp_path: Path) -> None:
    assert card_of(tmp_path, "x = 1\n") is None
    with pytest.raises(UserError, match=r"mine\.py: cannot be read"):
        card_of(tmp_path, "def (\n")


@pytest.mark.parametrize("room", ROOMS)
def test_every_plug_in_has_a_card_that_agrees_with_its_model(room: str) -> None:
    models = registry(f"steerctl.{room}")
    assert list(cards(room)) == list(models)
    for kind, card in cards(room).items():
        scope = models[kind].model_fields.get("scope")
        assert scope is None or card.scope == scope.default, kind


@pytest.mark.parametrize(("room", "kind"), [(room, kind) for room in ROOMS for kind in cards(room)])
def test_every_method_states_idea_formula_factors_source_departures(room: str, kind: str) -> None:
    card = cards(room)[kind]
    assert 10 <= len(card.idea) <= 120
    assert card.idea.endswith(".")
    assert "=" in card.formula or "[" in card.formula, "the docstring of the class begins with what it computes"
    assert room == "advantage" or states_factors(card.text), 'say "Factors touched: ..." or "Factors touched: none."'
    assert card.factors == "".join(letter for letter in FACTORS if letter in card.factors)
    assert card.source, "a paragraph that begins with Source"
    assert card.departures, 'a paragraph that begins with Departures, be it "Departures: none."'
    model = registry(f"steerctl.{room}")[kind]
    assert [name for name, field in model.model_fields.items() if name != "kind" and not field.description] == []


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(UserError, match=r"called clip-cov; did you mean clip_cov\?"):
        find_card("clip-cov")
    with pytest.raises(UserError, match="`steerctl interventions` lists them"):
        find_card("zzzzzz")
    assert find_card("gspo").room == "loss"
    assert find_card("rloo").room == "advantage"


def test_cards_need_nothing_heavy(tmp_path: Path) -> None:
    code = "import sys; from steerctl.spec.cards import cards; cards('loss'); print(*sys.modules)"
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert {"torch", "pydantic", "numpy", "yaml"}.isdisjoint(done.stdout.split())
