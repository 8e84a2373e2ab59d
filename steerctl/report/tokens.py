"""One page that shows responses with every probed token coloured by what an update did to its state's entropy.

The file needs nothing else: no network, no fonts, no other file. What a model wrote is untrusted: it is escaped
wherever it appears, characters that would hide or turn text are written out as their code, and the page's content
policy lets no script run but the page's own, known by its hash.
"""

from __future__ import annotations

import hashlib
import json
import math
import unicodedata
from base64 import b64encode
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from steerctl.report._colours import LEVELS, colour_edges, colour_rules
from steerctl.store.atomic import write_text

Table = Mapping[str, NDArray[Any]]
Key = tuple[int, int, str, int]
"""A response in one update: step, update, problem_id, sample."""
LABELS: Final = {
    "measured": "measured",
    "first_order": "first order, whole update",
    "own_state": "own state",
    "interference": "interference",
    "remainder": "remainder",
    "exact": "exact",
    "own_logit": "own logit",
    "squared": "squared",
    "released": "released code",
    "covariance": "covariance statistic",
    "influence": "influence",
}
FACTS: Final = {
    "position": "position", "logprob": "log π (nats)", "entropy": "entropy H (nats)", "mean_score": "S̄ (nats)",
    "advantage": "advantage A", "ratio": "ratio r", "passes": "passes the clip", "coefficient": "coefficient w",
    "quadrant": "quadrant",
}  # fmt: skip
"""Columns beside the changes that the numbers of a token show, if the table has them."""
SIGNED: Final = {"advantage", "coefficient"}


@dataclass(frozen=True, slots=True)
class Reading:
    """A change the tokens can be coloured by: nats per token, NaN for none."""

    name: str
    label: str
    values_N: NDArray[np.float64]


def write_token_page(
    table: Table,
    path: Path,
    *,
    title: str,
    predictions: Mapping[str, float],
    responses: Sequence[Key] | None = None,
    shown: int = 8,
) -> None:
    """Write `token_page`, atomically; raises what it raises, or StorageError."""
    write_text(path, token_page(table, title=title, predictions=predictions, responses=responses, shown=shown))


def token_page(
    table: Table,
    *,
    title: str,
    predictions: Mapping[str, float],
    responses: Sequence[Key] | None = None,
    shown: int = 8,
) -> str:
    """The page as text.

    table        columns of the token table, one entry per token; nulls of optional columns are NaN
    predictions  column -> nats per unit of it: 1 where it is in nats, else a step size or the slope that fits best
    responses    which ones, in this order; None: `choose_responses`

    Raises:
        ValueError: a response or a column is not in the table.
    """
    keys = list(responses) if responses is not None else choose_responses(table, shown)
    rows = _rows(table, keys)
    order_N = np.concatenate([rows[key] for key in keys]) if keys else np.zeros(0, dtype=np.int64)
    readings = list(_readings(table, predictions, order_N))
    return _page(table, title, {key: rows[key] for key in keys}, order_N, readings)


def page_hashes() -> tuple[str, str]:
    """Of the style and the script of every token page: a page that holds one in a frame must allow them too."""
    return digest(_style()), digest(_source("tokens.js"))


def choose_responses(table: Table, count: int) -> list[Key]:
    """Those in which most entropy moved, Σ|measured| over their probed tokens: one of each problem first.

    Responses to one problem move together, since they share states. Ties go in the order of the keys.
    """
    rows = _rows(table, None)
    size = {key: float(np.nansum(np.abs(table["measured"][places]))) for key, places in rows.items()}
    turns: Counter[str] = Counter()
    found = []
    for key in sorted(rows, key=lambda key: (-size[key], key)):
        found.append((turns[key[2]], key))
        turns[key[2]] += 1
    return [key for _, key in sorted(found, key=lambda pair: pair[0])][:count]


def _rows(table: Table, wanted: Sequence[Key] | None) -> dict[Key, NDArray[np.int64]]:
    """Places of each response's tokens in the table, by position."""
    found: dict[Key, list[int]] = {}
    columns = (table[name].tolist() for name in ("step", "update", "problem_id", "sample"))
    for place, (step, update, problem, sample) in enumerate(zip(*columns, strict=True)):
        found.setdefault((int(step), int(update), str(problem), int(sample)), []).append(place)
    missing = [key for key in wanted or () if key not in found]
    if missing:
        raise ValueError(f"no probed tokens of the response {missing[0]} (step, update, problem, sample)")
    return {
        key: np.array(sorted(places, key=lambda place: int(table["position"][place])), dtype=np.int64)
        for key, places in found.items()
    }


def _readings(table: Table, predictions: Mapping[str, float], order_N: NDArray[np.int64]) -> Iterator[Reading]:
    for name, factor in {"measured": 1.0, **predictions}.items():
        if name not in table:
            raise ValueError(f"this token table has no column {name!r}")
        label = LABELS.get(name, name)
        label = label if factor == 1 else f"{label} × {factor:.3g}"
        yield Reading(name, label, factor * np.asarray(table[name], np.float64)[order_N])


def _page(
    table: Table,
    title: str,
    rows: Mapping[Key, NDArray[np.int64]],
    order_N: NDArray[np.int64],
    readings: Sequence[Reading],
) -> str:
    edges = colour_edges(readings[0].values_N)
    style, script = _style(), _source("tokens.js")
    policy = f"default-src 'none'; style-src '{digest(style)}'; script-src '{digest(script)}'; base-uri 'none'"
    articles = "".join(_article(table, key, places, edges) for key, places in rows.items())
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(visible(title))}</title>
<style>{style}</style>
</head>
<body>
<header>
<h1>{escape(visible(title))}</h1>
<p class="faint">What one optimiser step did to the entropy of the state in which each token was sampled. Orange, marked
below: it fell; blue, marked above: it rose; …9…: nine tokens that were not probed. <span class="scripted">Point at a
token, or move with the arrow keys, for its numbers.</span></p>
<fieldset class="controls scripted"><legend>Colour by the change in entropy</legend>{_controls(readings)}</fieldset>
{_scale(edges)}
</header>
<div class="layout">
<main>{articles or "<p>No token was probed.</p>"}</main>
<aside id="panel" class="panel scripted" role="status" aria-label="Numbers of the chosen token">No token chosen.</aside>
</div>
<script type="application/json" id="data">{_data(table, order_N, readings, edges)}</script>
<script>{script}</script>
</body>
</html>
"""


def _source(name: str) -> str:
    return files("steerctl.report").joinpath(name).read_text(encoding="utf-8")


def _style() -> str:
    return _source("tokens.css") + colour_rules()


def digest(text: str) -> str:
    """As a content policy names a style or script."""
    return f"sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _controls(readings: Sequence[Reading]) -> str:
    return "".join(
        f'<label><input type="radio" name="reading" value="{escape(reading.name)}"{" checked" if not index else ""}>'
        f"{escape(reading.label)}</label>"
        for index, reading in enumerate(readings)
    )


def _scale(edges: Sequence[float]) -> str:
    """The legend: one swatch per colour, from the largest fall to the largest rise."""
    falls = [f'<li><span class="f f{depth}"></span>−{edges[depth - 1]:g}</li>' for depth in range(LEVELS, 0, -1)]
    rises = [f'<li><span class="r r{depth}"></span>+{edges[depth - 1]:g}</li>' for depth in range(1, LEVELS + 1)]
    middle = '<li><span class="s"></span>0 nats</li>'
    label = f"Scale in nats: a colour begins at the number below it; less than {edges[0]:g} has none"
    return f'<ul class="scale" aria-label="{escape(label)}">{"".join([*falls, middle, *rises])}</ul>'


def _article(table: Table, key: Key, places: NDArray[np.int64], edges: Sequence[float]) -> str:
    step, update, problem, sample = key
    measured = np.asarray(table["measured"], np.float64)[places]
    length = int(table["length"][places[0]])
    head = f"Problem {visible(problem)}, response {sample}"
    total = _signed(float(np.nansum(measured)))
    facts = f"step {step}, update {update}; {len(places)} of {length} tokens probed; together {total} nats"
    if "advantage" in table:
        facts += f"; advantage {_signed(table['advantage'][places[0]])}"
    tokens, expected = [], 0
    for place, change in zip(places.tolist(), measured.tolist(), strict=True):
        position = int(table["position"][place])
        tokens.append(_gap(position - expected))
        tokens.append(_token(str(table["text"][place]), change, edges))
        expected = position + 1
    tokens.append(_gap(length - expected))
    body = "".join(tokens)
    return f'<article><h2>{escape(head)}</h2><p class="facts">{escape(facts)}</p><p class="tokens">{body}</p></article>'


def _gap(count: int) -> str:
    if count <= 0:
        return ""
    mark = "…" if count == 1 else f"…{count}…"
    return f'<span class="gap" title="{count} not probed">{mark}</span>'


def _token(text: str, change: float, edges: Sequence[float]) -> str:
    shown = visible(text)
    kind = _kind(change, edges)
    lines = "".join("\n" if letter == "\n" else "" for letter in text)
    title = "no value" if math.isnan(change) else f"{_signed(change)} nats"
    quoted = escape(shown, quote=True)
    inner = escape(shown) or '<span class="odd">(nothing)</span>'
    return (
        f'<span class="t {kind}" tabindex="-1" data-text="{quoted or "(nothing)"}" title="{title}">'
        f"{inner}</span>{lines}"
    )


def _kind(change: float, edges: Sequence[float]) -> str:
    if math.isnan(change):
        return "none"
    depth = sum(abs(change) >= edge for edge in edges)
    letter = "f" if change < 0 else "r"
    return f"{letter} {letter}{depth}" if depth else "s"


def _signed(value: float) -> str:
    return f"{float(value):+.3g}".replace("-", "−") if value else "0"


def visible(text: str) -> str:
    """The text with everything that is not seen written out: line breaks as ↵, tabs as →, other controls by code."""
    return "".join(_letter(letter) for letter in text.encode("utf-8", "replace").decode())


def _letter(letter: str) -> str:
    if letter in {"\n", "\t"}:
        return {"\n": "↵", "\t": "→"}[letter]
    kind = unicodedata.category(letter)
    if kind in {"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"}:
        return f"⟨U+{ord(letter):04X}⟩"
    return f"◌{letter}" if kind in {"Mn", "Me"} else letter


def _data(table: Table, order_N: NDArray[np.int64], readings: Sequence[Reading], edges: Sequence[float]) -> str:
    """JSON inside a page: no `<` in it, so that nothing in it can end the element it stands in."""
    facts = [
        {"label": label, "signed": name in SIGNED, "values": [_plain(value) for value in table[name][order_N].tolist()]}
        for name, label in FACTS.items()
        if name in table
    ]
    changes = [
        {"name": each.name, "label": each.label, "values": [_plain(value) for value in each.values_N.tolist()]}
        for each in readings
    ]
    text = json.dumps({"edges": list(edges), "readings": changes, "facts": facts}, allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _plain(value: object) -> object:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value
