"""How `steerctl interventions` shows methods."""

from __future__ import annotations

import json as json_text
import shutil
import sys
import textwrap
from dataclasses import asdict
from typing import Any

from steerctl.spec.cards import Card, cards, find_card

LEAST_COLUMNS = 60


def show_list(room: str, *, json: bool) -> None:
    """One line per method; on a terminal, long ideas go on below themselves."""
    found = list(cards(room).values())
    if json:
        print(json_text.dumps([_brief(card) for card in found], ensure_ascii=False))
        return
    kinds, scopes = (max(len(text) for text in column) for column in zip(*(_keys(card) for card in found), strict=True))
    print(f"{'kind':{kinds}}  CAPE  {'scope':{scopes}}  idea")
    for card in found:
        head = f"{card.kind:{kinds}}  {_spread(card.factors)}  {card.scope:{scopes}}  "
        print(_hanging(head, card.idea))


def show_one(kind: str, *, json: bool) -> None:
    """The docstring as it stands, then settings and measured effect. Raises UserError if there is no such kind."""
    card = find_card(kind)
    from steerctl.spec.effects import effect_of
    from steerctl.spec.settings import setting_rows

    rows, effect = setting_rows(card.room, kind), effect_of(card.room, kind)
    if json:
        whole = _brief(card) | {
            name: getattr(card, name) for name in ("text", "formula", "presets", "source", "departures")
        }
        settings = [asdict(row) for row in rows]
        measured = None if effect is None else asdict(effect)
        print(json_text.dumps(whole | {"settings": settings, "measured": measured}, ensure_ascii=False))
        return
    facts = [card.room, f"factors {card.factors or 'none'}", f"scope {card.scope}", f"denominator {card.denominator}"]
    print(f"{card.kind}   {card.idea}\n\n{' · '.join(facts)}\n{card.file}\n\n{card.text}\n")
    print("Settings" if rows else "No settings.")
    for row in rows:
        print(f"\n  {row.key}: {row.type}, default {row.default}")
        print(_hanging("      ", row.meaning))
    print(f"\nMeasured against GRPO in the tiny world: {'not measured' if effect is None else effect.sentence}")


def _brief(card: Card) -> dict[str, Any]:
    names = ("kind", "room", "idea", "factors", "scope", "denominator")
    return {name: getattr(card, name) for name in names} | {"file": str(card.file)}


def _keys(card: Card) -> tuple[str, str]:
    return card.kind, card.scope


def _spread(factors: str) -> str:
    """Each factor in its own column, e.g. "A P" as " AP "."""
    return "".join(letter if letter in factors else "·" for letter in "CAPE")


def _hanging(head: str, text: str) -> str:
    if not sys.stdout.isatty():
        return head + text
    width = max(shutil.get_terminal_size().columns - len(head), LEAST_COLUMNS)
    return head + f"\n{' ' * len(head)}".join(textwrap.wrap(text, width) or [""])
