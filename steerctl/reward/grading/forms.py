r"""What the form of two answers decides before any parser: sets and tuples, intervals, number bases, times of day.

All texts are normalised. A function answers None where it has nothing to say.
"""

from __future__ import annotations

import re

_OPEN, _CLOSE = "([{", ")]}"
_ESCAPED = re.compile(r"\\.", re.DOTALL)
_SIZES = re.compile(r"\\(?:left|right|bigl|bigr|big|Big)(?![a-zA-Z])")
_BASED = re.compile(r"\(?([0-9A-Za-z]+)\)?_\{?(\d+)\}?")
_CLOCK = re.compile(
    r"(\d{1,2}):(\d{2})\s*(?:\\(?:text|mathrm|mbox)\s*\{)?\s*(?:([ap])\.?\s?m\.?)?\s*\}?", re.IGNORECASE
)
_BOUND = re.compile(r"(?i)\b(?:or (?:more|less|fewer|greater)|at (?:least|most)|(?:more|less|fewer|greater) than)\b")
_CLOSED_INFINITY = re.compile(r"\[\s*-\s*\\infty|\\infty\s*\]")
_MATRIX = re.compile(r"\\begin\{([pbvV]?matrix|array)\}(?:\{[lcr|]*\})?(.*)\\end\{\1\}", re.DOTALL)
_NAMED = re.compile(r"([A-Za-z]|\\[a-z]+)\s*\(\s*([a-z])\s*\)\s*=")
_ORDINATE = re.compile(r"y\s*=")
_OPTION = re.compile(
    r"(?:\\(?:text|textbf|textrm|mathrm|mathbf)\s*\{)?\s*\(?([A-H])(?:\)|[.:](?=\s))\s*\}?"
    r"(?:\s|~|\\[ ,;:]|\\quad)*(.*)",
    re.DOTALL,
)
_PRODUCT = re.compile(r"[-+]?(?:\d+(?:\.\d+)?|\.\d+)[A-Za-z]{1,5}(?:\^\{?-?\d\}?)?(?:/[A-Za-z]{1,5}(?:\^\{?-?\d\}?)?)?")
_LOOSE = (
    "=",
    "\\pm",
    "\\mp",
    "\\in",
    "dots",
    "...",
    "\\text",
    "\\mathrm",
    "\\cup",
    "where",
    ";",
    "<",
    ">",
    "\\le",
    "\\ge",
)


def differ(answer: str, gold: str) -> str | None:
    """Why the two cannot be equal whatever they contain; None if they may be."""
    answer, gold = _SIZES.sub("", answer).strip(), _SIZES.sub("", gold).strip()
    ours, theirs = _brackets(answer), _brackets(gold)
    if {ours, theirs} == {"set", "tuple"}:
        return "a set is no tuple"
    if _CLOSED_INFINITY.search(answer) and not _CLOSED_INFINITY.search(gold):
        return "closed at infinity"
    if _BOUND.search(answer) and not _BOUND.search(gold):
        return "a bound is no value"
    if ours is None and theirs is None and not any(mark in text for text in (answer, gold) for mark in _LOOSE):
        one, other = _distinct(answer, like=gold), _distinct(gold, like=gold)
        if one != other and " and " not in answer + gold and " or " not in answer + gold:
            return "another number of answers"
    return None


def _distinct(text: str, *, like: str) -> int:
    """How many answers are listed; one that is repeated counts once unless the reference answer repeats one."""
    ours, theirs = ([re.sub(r"\s", "", item) for item in items(each)] for each in (text, like))
    return len(set(ours)) if len(set(theirs)) == len(theirs) else len(ours)


def bases(answer: str, gold: str) -> bool | None:
    """Two integers in stated bases are equal as integers; None unless both bases are stated."""
    ours, theirs = _BASED.fullmatch(answer), _BASED.fullmatch(gold)
    if ours is None or theirs is None:
        return None
    try:
        return int(ours.group(1), int(ours.group(2))) == int(theirs.group(1), int(theirs.group(2)))
    except ValueError:  # a digit that the base does not have, a base above 36: letters with an index
        return None


def times(answer: str, gold: str) -> bool | None:
    """Times of day, 8:34 p.m. or 20:34; None unless both are times and one says a.m. or p.m. (7:32 is also a ratio)."""
    ours, theirs = _CLOCK.fullmatch(answer), _CLOCK.fullmatch(gold)
    if ours is None or theirs is None or not (ours.group(3) or theirs.group(3)):
        return None
    return _minutes(ours) == _minutes(theirs)


def factors(answer: str) -> bool:
    """Letters that touch a number are factors, not a unit: `10m` is ten times m."""
    return _PRODUCT.fullmatch(answer) is not None


def option(answer: str) -> tuple[str, str] | None:
    """The letter of a multiple-choice answer and what stands after it: `(B) 12` gives B and 12."""
    found = _OPTION.fullmatch(answer)
    return (found.group(1), found.group(2).strip()) if found else None


def alike(answer: str, gold: str) -> tuple[str, str]:
    r"""Both in one form where they are two usual forms of the same object.

    A row or column matrix beside a tuple becomes a tuple; `\langle 1, 2 \rangle` too; `f(x) = ...` beside `y = ...`
    becomes its right side.
    """
    answer, gold = _angles(answer), _angles(gold)
    ours, theirs = _entries(answer), _entries(gold)
    if ours is not None and theirs is None and _brackets(gold) == "tuple":
        return f"({','.join(ours)})", f"({','.join(items(gold.strip()[1:-1]))})"
    if theirs is not None and ours is None and _brackets(answer) == "tuple":
        return f"({','.join(items(answer.strip()[1:-1]))})", f"({','.join(theirs)})"
    return _same_graph(answer, gold) or (answer, gold)


def items(text: str) -> list[str]:
    """Split at the commas outside every bracket."""
    parts, depth, start = [], 0, 0
    plain = _ESCAPED.sub(lambda found: {"\\{": "{{", "\\}": "}}"}.get(found.group(), "__"), text)
    for at, character in enumerate(plain):
        depth += (character in _OPEN) - (character in _CLOSE)
        if character == "," and depth == 0:
            parts.append(text[start:at].strip())
            start = at + 1
    return [*parts, text[start:].strip()]


def _brackets(text: str) -> str | None:
    r"""What one pair of brackets around everything makes of it: a "set" in `\{ \}`, a "tuple" if there is a comma."""
    text = _SIZES.sub("", text).strip()
    if text.startswith("\\{") and text.endswith("\\}"):
        return "set" if "\\}" not in text[2:-2] else None
    if len(text) > 2 and text[0] in "([" and text[-1] in ")]" and len(items(text[1:-1])) > 1 and len(items(text)) == 1:
        depth = 0
        for at, character in enumerate(text[:-1]):
            depth += (character in "([") - (character in ")]")
            if at and depth == 0:
                return None
        return "tuple"
    return None


def _minutes(found: re.Match[str]) -> int:
    hours, minutes, half = int(found.group(1)), int(found.group(2)), (found.group(3) or "").lower()
    if half:
        hours = hours % 12 + (12 if half == "p" else 0)
    return hours * 60 + minutes


def _angles(text: str) -> str:
    if "\\langle" not in text:
        return text
    return re.sub(r"\\rangle(?![a-z])", ")", re.sub(r"\\langle(?![a-z])\s*", "(", _SIZES.sub("", text)))


def _entries(text: str) -> list[str] | None:
    """Entries of a matrix of one row or one column, at least two of them."""
    found = _MATRIX.fullmatch(_SIZES.sub("", text).strip())
    if found is None:
        return None
    rows = [row.strip() for row in re.split(r"\\\\|\\cr", found.group(2)) if row.strip()]
    cells = [[cell.strip() for cell in row.split("&")] for row in rows]
    if len(cells) == 1 and len(cells[0]) > 1:
        return cells[0]
    return [row[0] for row in cells] if len(cells) > 1 and all(len(row) == 1 for row in cells) else None


def _same_graph(answer: str, gold: str) -> tuple[str, str] | None:
    """Right sides of `f(x) = ...` and `y = ...`: both name the same graph."""
    for function, ordinate, swap in ((answer, gold, False), (gold, answer, True)):
        named, plain = _NAMED.match(function), _ORDINATE.match(ordinate)
        if named and plain and function.count("=") == ordinate.count("=") == 1:
            sides = function[named.end() :].strip(), ordinate[plain.end() :].strip()
            return (sides[1], sides[0]) if swap else sides
    return None
