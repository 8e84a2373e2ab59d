"""What a method says about itself, read from its file without importing it: a card per intervention, loss, advantage.

The docstrings follow one order (docs/plugins.md): idea, formula, "Factors touched: ...", presets, source, departures.
Nothing here loads torch or pydantic, so that `steerctl interventions` answers at once.
"""

from __future__ import annotations

import ast
import difflib
import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from steerctl.errors import UserError
from steerctl.extensions import extensions

ROOMS = ("intervention", "loss", "advantage")
FACTORS = {"C": "clip", "A": "advantage", "P": "probability", "E": "entropy"}
_FACTORS = re.compile(r"(?:All four factors|Factors?\s+touched):\s+(.*?)(?:\.\s|\.?$)", re.DOTALL)
_PACKAGE = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Card:
    """One method.

    idea         the module's first line
    text         the whole docstring of the class; the parts below are cut from it, "" where it has none
    factors      which of C, A, P, E it touches, e.g. "AP"
    scope        default of `scope`, or the one it is fixed to; "-" if it takes no statistic over tokens
    denominator  default of `denominator`; "all" where it is no setting
    """

    room: str
    kind: str
    idea: str
    text: str
    formula: str
    factors: str
    scope: str
    denominator: str
    presets: str
    source: str
    departures: str
    file: Path


@cache
def cards(room: str) -> dict[str, Card]:
    """Every method of a room ("intervention", "loss" or "advantage") by kind, alphabetically.

    Raises:
        UserError: a file of a plug-in folder cannot be read as Python.
    """
    own = [(path.stem, path) for path in (_PACKAGE / room).glob("[!_]*.py")]
    outside = [(each.name, each.file) for each in extensions(f"steerctl.{room}") if each.file is not None]
    found = (read_card(room, kind, path) for kind, path in sorted(own) + outside)
    return dict(sorted((card.kind, card) for card in found if card is not None))


def read_card(room: str, kind: str, path: Path) -> Card | None:
    """The card of the class of this kind in a file, None if the file has none."""
    try:
        module = ast.parse(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, SyntaxError) as error:
        raise UserError(f"{path}: cannot be read: {' '.join(str(error).split())}") from error
    found = next((node for node in module.body if isinstance(node, ast.ClassDef) and _kind(node) == kind), None)
    if found is None:
        return None
    text = inspect.cleandoc(ast.get_docstring(found) or "")
    idea = (ast.get_docstring(module) or "").partition("\n\n")[0]
    parts = _parts(text)
    return Card(
        room,
        kind,
        idea=" ".join((idea or parts["formula"].partition("\n")[0]).split()),
        text=text,
        formula=parts["formula"],
        factors="A" if room == "advantage" else _factors(text),
        scope=_scope(found),
        denominator=_denominator(found),
        presets=parts["presets"],
        source=parts["source"],
        departures=parts["departures"],
        file=path,
    )


def _kind(node: ast.ClassDef) -> object:
    return dict(_defaults(node)).get("kind")


def _defaults(node: ast.ClassDef) -> Iterator[tuple[str, object]]:
    """Fields whose default is a plain value."""
    for item in node.body:
        if (
            isinstance(item, ast.AnnAssign)
            and isinstance(item.target, ast.Name)
            and isinstance(item.value, ast.Constant)
        ):
            yield item.target.id, item.value.value


def _factors(text: str) -> str:
    found = _FACTORS.search(text)
    words = " ".join(found.group(1).split()) if found else ""
    if words.startswith("all four"):
        return "".join(FACTORS)
    return "".join(letter for letter, word in FACTORS.items() if re.search(rf"\b{word}\b", words))


def states_factors(text: str) -> bool:
    """Whether a docstring says which factors it touches, be it none."""
    return _FACTORS.search(text) is not None


def _scope(node: ast.ClassDef) -> str:
    """What `population_scope` is or returns where that is a word, else the default of `scope`."""
    for item in node.body:
        if isinstance(item, ast.FunctionDef) and item.name == "population_scope":
            returned = [each.value for each in ast.walk(item) if isinstance(each, ast.Return)]
            words = [each.value for each in returned if isinstance(each, ast.Constant)]
            if len(words) == len(returned) == 1:
                return str(words[0])
    defaults = dict(_defaults(node))
    return str(defaults.get("population_scope", defaults.get("scope", "-")))


def _denominator(node: ast.ClassDef) -> str:
    found = [str(value) for name, value in _defaults(node) if name.endswith("denominator")]
    return found[0] if found else "all"


def _parts(text: str) -> dict[str, str]:
    """The docstring's sections; what precedes the first named one is the formula."""
    marks = {"presets": r"^Presets\b", "source": r"^Source\b", "departures": r"^Departures\b"}
    found = {name: re.search(mark, text, re.MULTILINE) for name, mark in marks.items()}
    starts = sorted((match.start(), name) for name, match in found.items() if match)
    ends = [start for start, _ in starts][1:] + [len(text)] * bool(starts)
    parts = dict.fromkeys(("formula", *marks), "")
    parts["formula"] = text[: starts[0][0] if starts else len(text)].strip()
    return parts | {name: text[start:end].strip() for (start, name), end in zip(starts, ends, strict=True)}


def find_card(kind: str) -> Card:
    """The method of this name in whatever room. Raises UserError, with the nearest name, if there is none."""
    every = {name: card for room in reversed(ROOMS) for name, card in cards(room).items()}
    if kind in every:
        return every[kind]
    near = difflib.get_close_matches(kind.lower().replace("-", "_"), every, n=1, cutoff=0.5)
    advice = f"did you mean {near[0]}?" if near else "`steerctl interventions` lists them"
    raise UserError(f"no intervention, loss or advantage estimator is called {kind}; {advice}")
