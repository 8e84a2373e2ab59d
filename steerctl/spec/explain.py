"""Faults of an experiment in plain words: `file.yaml:6: optim.lrr: not a known key; did you mean lr?`."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from steerctl.spec.aliases import ALIASES
from steerctl.spec.shape import ROOT, Cursor, known_paths, literals
from steerctl.spec.tree import COMMAND_LINE, Node, Origin, Path, find, nearest

_COMPARISONS = {
    "greater_than": ("gt", ">"),
    "greater_than_equal": ("ge", ">="),
    "less_than": ("lt", "<"),
    "less_than_equal": ("le", "<="),
}
_EXPECTED = {
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "dict_type": "a mapping of keys",
    "finite_number": "a finite number",
    "float_parsing": "a number",
    "float_type": "a number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "list_type": "a list",
    "model_attributes_type": "a mapping of keys",
    "model_type": "a mapping of keys",
    "none_required": "nothing (null)",
    "string_type": "text",
    "tuple_type": "a list",
}


def explain(error: ValidationError, written: Node) -> str:
    """One line for each fault, in the order of the file; alternatives of one value share a line."""
    faults: dict[tuple[int, str, int, str], list[str]] = {}
    for detail in error.errors(include_url=False):
        path, cursor = locate(detail["loc"], written)
        path, text = _describe(detail, path, cursor, written)
        path, origin = _place(path, detail, written)
        key = (origin.line is None, origin.source, origin.line or 0, dotted(path))
        if text not in faults.setdefault(key, []):
            faults[key].append(text)
    lines = []
    for (_, source, line, where), texts in sorted(faults.items()):
        text = _joined(texts)
        lines.append(
            f"{Origin(source, line or None)}: {where}: {text}" if where else f"{Origin(source, line or None)}: {text}"
        )
    return "\n".join(lines)


def dotted(path: Path) -> str:
    """`algorithm.interventions.0.kind`."""
    return ".".join(str(part) for part in path)


def locate(loc: Sequence[str | int], written: Node) -> tuple[Path, Cursor | None]:
    """Where pydantic's location lies in the file: without the names of union members it puts in between."""
    path: list[str | int] = []
    cursor: Cursor | None = ROOT
    node: Node | None = written
    rest = list(loc)
    while rest:
        kind = node.kind if node is not None else None
        if cursor is not None and len(cursor.models) > 1 and rest[0] in cursor.models:
            kind = str(rest.pop(0))
            if not rest:
                break
        part = rest.pop(0)
        below = cursor.child(part, kind) if cursor is not None else None
        if below is None and cursor is not None and not cursor.models and cursor.item is None:
            break
        path.append(part)
        node = find(node, (part,)) if node is not None else None
        cursor = below
    return tuple(path), cursor


def _place(path: Path, detail: ErrorDetails, written: Node) -> tuple[Path, Origin]:
    """Whose fault it is: the value's, or, for a rule between several values, that of one its text names.

    Of those that were written, one on the command line comes first, and is named: the file was right without it.
    """
    if detail["type"] not in ("value_error", "assertion_error"):
        return path, nearest(written, path)
    named = [path + words for words in named_paths(detail["msg"])]
    given = [(each, found.origin) for each in named if (found := find(written, each)) is not None]
    for each, origin in given:
        if origin.source == COMMAND_LINE:
            return each, origin
    return path, given[0][1] if given else nearest(written, path)


def named_paths(text: str) -> list[Path]:
    """The words of a message that may be keys: `optim.lr` as ("optim", "lr"), clip_cov_lb as itself."""
    words = re.findall(r"[a-z_]+(?:\.[a-z_0-9]+)*", text)
    return [tuple(int(part) if part.isdecimal() else part for part in word.split(".")) for word in words]


def _joined(texts: list[str]) -> str:
    """Several ways in which one value is wrong, as one sentence."""
    if len(texts) > 1 and all(text.startswith("expected ") and ", got " in text for text in texts):
        wanted = [text.removeprefix("expected ").split(", got ", 1)[0] for text in texts]
        return f"expected {' or '.join(wanted)}, got {texts[0].split(', got ', 1)[1]}"
    return "; ".join(texts)


def _describe(detail: ErrorDetails, path: Path, cursor: Cursor | None, written: Node) -> tuple[Path, str]:
    """What is wrong, and the path it is wrong at."""
    code, context, value = detail["type"], detail.get("ctx", {}), detail.get("input")
    if code == "extra_forbidden":
        return path, f"not a known key{_suggest_key(path, written)}"
    if code == "union_tag_invalid":
        return (*path, "kind"), _unknown_kind(str(context.get("tag")), cursor)
    if code == "literal_error" and path and path[-1] == "kind":
        return path, _unknown_kind(str(value), locate(path[:-1], written)[1])
    if code == "missing" and path and isinstance(path[-1], int):
        return path[:-1], "the list is too short"
    plain = {"missing": f"missing{_choices(cursor)}", "union_tag_not_found": f"needs a kind; {_kinds(cursor)}"}
    return path, plain.get(code) or _describe_value(code, context, value, path, cursor) or _message(detail)


def _describe_value(code: str, context: dict[str, Any], value: object, path: Path, cursor: Cursor | None) -> str | None:
    """What is wrong with a value of a known key."""
    if code == "literal_error":
        words = literals(cursor.annotation) if cursor is not None else []
        options = f"one of {', '.join(words)}" if len(words) > 1 else str(context.get("expected"))
        return f"expected {options}, got {_shown(value)}{_did_you_mean(value, words)}"
    if code in _COMPARISONS:
        name, sign = _COMPARISONS[code]
        bound = context.get(name)
        return f"must be {sign} {bound if isinstance(bound, int) else f'{bound:g}'}, got {_shown(value)}"
    if code in _EXPECTED:
        return f"expected {_EXPECTED[code]}, got {_shown(value)}{_hint(code, value)}"
    if code == "string_pattern_mismatch":
        return f"{_shown(value)} does not match {context.get('pattern')}{_name_hint(path)}"
    return _describe_length(code, context, value)


def _describe_length(code: str, context: dict[str, Any], value: object) -> str | None:
    if code == "string_too_long":
        return f"has {len(str(value))} characters; {context.get('max_length')} at most"
    if code == "too_short":
        return f"must have at least {context.get('min_length')} items, got {context.get('actual_length')}"
    if code == "too_long":
        return f"must have at most {context.get('max_length')} items, got {context.get('actual_length')}"
    return None


def _message(detail: ErrorDetails) -> str:
    """A rule's own words; for the rest, pydantic's."""
    if detail["type"] == "json_invalid":
        return "holds text that is not valid Unicode"
    text = re.sub(r"^(Value|Assertion) error,\s*", "", detail["msg"])
    return text[:1].lower() + text[1:] if text == detail["msg"] else text


def _shown(value: object) -> str:
    """A value as the reader wrote it: the text 'abc', the list [1, 2], nothing."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f"the text {_short(value)!r}"
    if isinstance(value, dict):
        return f"a mapping ({', '.join(map(str, list(value)[:4]))}{', ...' if len(value) > 4 else ''})"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    return _short(str(value))


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."


def _hint(code: str, value: object) -> str:
    """Advice for the usual slips: quotes around a number, yes for true, a fraction for a whole number."""
    if isinstance(value, str) and code in ("float_type", "int_type"):
        return "; leave out the quotes" if re.fullmatch(r"[-+]?[0-9.]+(e[-+]?[0-9]+)?", value, re.IGNORECASE) else ""
    if isinstance(value, str) and code == "bool_type" and value.lower() in ("yes", "no", "on", "off", "y", "n"):
        return f"; write {'true' if value.lower() in ('yes', 'on', 'y') else 'false'}"
    if isinstance(value, int | float) and not isinstance(value, bool) and code == "string_type":
        return f'; write "{value}" in quotes'
    return ""


def _name_hint(path: Path) -> str:
    if path == ("name",):
        return "; use letters, digits, dots, dashes and underscores, beginning with a letter or digit"
    return ""


def _kinds(cursor: Cursor | None) -> str:
    return (
        f"known kinds: {', '.join(cursor.models)}" if cursor is not None and cursor.models else "see `steerctl schema`"
    )


def _unknown_kind(kind: str, cursor: Cursor | None) -> str:
    near = _did_you_mean(kind, list(cursor.models) if cursor is not None else [])
    return f"unknown kind {_short(kind)!r}{near}; {_kinds(cursor)}"


def _choices(cursor: Cursor | None) -> str:
    """What a missing key may hold, if that is a short list."""
    if cursor is None:
        return ""
    if len(cursor.models) > 1:
        return f"; give it a kind: {', '.join(cursor.models)}"
    words = literals(cursor.annotation)
    return f"; one of {', '.join(words)}" if words else ""


def _did_you_mean(value: Any, words: Iterable[str]) -> str:  # noqa: ANN401 (whatever was written)
    near = difflib.get_close_matches(value.lower(), list(words), n=1, cutoff=0.6) if isinstance(value, str) else []
    return f"; did you mean {near[0]}?" if near else ""


def _suggest_key(path: Path, written: Node) -> str:
    """The nearest key of the same mapping, the name another trainer's key has here, or the same key elsewhere."""
    word = str(path[-1])
    parent = find(written, path[:-1])
    _, cursor = locate(path[:-1], written)
    model = cursor.model(parent.kind if parent is not None else None) if cursor is not None else None
    here = list(model.model_fields) if model is not None else []
    if word == "extends":
        return "; extends belongs at the top of a file"
    near = difflib.get_close_matches(word.lower(), here, n=1, cutoff=0.7)
    if near:
        return f"; did you mean {near[0]}?"
    if word.lower() in ALIASES:
        return f"; did you mean {ALIASES[word.lower()]}?"
    places = [place for place, kind in known_paths() if kind is None and place != path]
    elsewhere = {str(place[-1]): dotted(place) for place in reversed(places)}  # the first of a name is the one meant
    near = difflib.get_close_matches(word.lower(), elsewhere, n=1, cutoff=0.85)
    if near:
        return f"; did you mean {elsewhere[near[0]]}?"
    near = difflib.get_close_matches(word.lower(), here, n=1, cutoff=0.5)
    if near:
        return f"; did you mean {near[0]}?"
    return f"; known keys: {', '.join(here)}" if 0 < len(here) <= 16 else ""
