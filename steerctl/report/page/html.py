"""The page: one file that needs nothing else. No script runs but its own, known by its hash; nothing is fetched."""

from __future__ import annotations

import json
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from importlib.resources import files
from pathlib import Path
from string import Template

from steerctl.report.page.curves import Panel
from steerctl.report.page.data import FEW, json_text, page_data
from steerctl.report.page.findings import Number
from steerctl.report.page.methods import Method
from steerctl.report.page.report import Report
from steerctl.report.page.sections import (
    contrasts_table,
    cost_table,
    lead,
    number_table,
    one_method_table,
    reading_notes,
    runs_table,
    swatch,
)
from steerctl.report.page.settings import changes, clip_also
from steerctl.report.page.text import count, in_unit, safe
from steerctl.report.page.token_pages import TokenPage
from steerctl.report.tokens import digest, page_hashes
from steerctl.store.atomic import write_text

BEFORE, PICTURES = frozenset({"found"}), frozenset({"curves", "pareto"})
"""Sections above the pictures, and those that the list of methods stands beside."""
CHOSEN = '<p class="warn">Chosen by itself: the best of several measurements, and too high by what chance gave.</p>'
CLIP = '<p class="warn">The clip bound differs too: what is found may be its doing.</p>'
MANY = 6
"""More changes than this are folded up."""


def write_page(report: Report, path: Path, token_pages: Sequence[TokenPage] = ()) -> None:
    """Write the page, atomically. Raises StorageError."""
    write_text(path, page(report, token_pages))


def page(report: Report, token_pages: Sequence[TokenPage] = ()) -> str:
    """The page as text."""
    style, script = _asset("page.css"), _asset("plots.js") + _asset("page.js")
    own = " ".join(f"'{each}'" for each in (digest(style), digest(script), *(page_hashes() if token_pages else ())))
    found = [(name, title, body) for name, title, body in _sections(report, token_pages) if body]
    return Template(_asset("page.html")).substitute(
        policy=f"default-src 'none'; style-src {own}; script-src {own}; base-uri 'none'; form-action 'none'",
        title=safe(report.title),
        style=style,
        kind="several" if report.compares else "single",
        lead=lead(report),
        contents="".join(f'<a href="#{name}">{title}</a>' for name, title, _ in found),
        before=_joined(found, BEFORE),
        pictures=_joined(found, PICTURES),
        after=_joined(found, {name for name, _, _ in found} - BEFORE - PICTURES),
        side=_side(report) if report.compares else "",
        data=json_text(page_data(report, token_pages)),
        script=script,
    )


def _joined(found: Sequence[tuple[str, str, str]], names: AbstractSet[str]) -> str:
    return "\n".join(f'<section id="{n}"><h2>{title}</h2>{body}</section>' for n, title, body in found if n in names)


def _sections(report: Report, token_pages: Sequence[TokenPage]) -> list[tuple[str, str, str]]:
    return [
        ("found", "What was found" if report.compares else "Numbers", _found(report)),
        ("curves", "Over the steps", _curves(report)),
        ("pareto", "Accuracy against entropy kept", _pareto(report)),
        ("settings", "Settings", _settings(report)),
        ("tokens", "Tokens", _tokens(token_pages)),
        ("cost", "Cost", cost_table(report)),
        ("runs", "Runs", _runs(report)),
        ("reading", "How to read this", reading_notes(report)),
    ]


def _found(report: Report) -> str:
    if not report.compares:
        return one_method_table(report)
    parts: list[str] = []
    for number in report.numbers:
        if number is report.main:
            parts.insert(0, f"{_planned(report)}<h3>{_headline(report, number)}</h3>{number_table(report, number)}")
        else:
            itself = number.at == "chosen" and number.key == report.question.choose_by
            parts.append(
                f'<details class="more"><summary>{_headline(report, number)}</summary>{CHOSEN if itself else ""}'
                f"{number_table(report, number)}</details>"
            )
    return "".join(parts)


def _planned(report: Report) -> str:
    if not report.planned:
        return ""
    last = f"mean of the last {count(report.question.last_steps, 'step')}"
    return f'<h3>Planned contrasts, <span class="range">{last}</span></h3>{contrasts_table(report)}'


def _headline(report: Report, number: Number) -> str:
    last = f"mean of the last {count(report.question.last_steps, 'step')}"
    moment = last if number.at == "last" else f"at the step with the best {report.question.choose_by}"
    return f'{safe(number.title)}{safe(in_unit(number.unit))}, <span class="range">{safe(moment)}</span>'


def _curves(report: Report) -> str:
    figures = "".join(
        f'<figure data-panel="{index}"><figcaption><h3>{safe(panel.title)}</h3>'
        f'<span class="faint"><code>{safe(panel.key)}</code>{safe(in_unit(panel.unit))}{_stretch(panel)}</span>'
        "</figcaption>"
        f'<svg class="plot" id="plot-{index}" tabindex="0" role="img" aria-label="{safe(panel.title)} over the steps;'
        f' arrow keys read the values"></svg></figure>'
        for index, panel in enumerate(report.panels)
    )
    several = any(len(method.runs) > 1 for method in report.methods.methods)
    bands = "Lines are means over seeds, bands their 95% intervals. " if several else ""
    return (
        f'<p class="faint">{bands}<span class="scripted">Point at a picture, or move in it with the arrow keys, for '
        'its values.</span></p><p class="unscripted">The pictures need JavaScript, which this page carries itself; the '
        f'tables do without.</p><div class="panels scripted">{figures}</div>'
    )


def _stretch(panel: Panel) -> str:
    return f", means of {panel.stretch} steps" if panel.stretch > 1 else ""


def _pareto(report: Report) -> str:
    if not (report.compares and report.main and report.kept):
        return ""
    names = ", ".join(safe(name) for name in report.front)
    return (
        '<p class="faint">Large marks are means over seeds with their 95% intervals, dots the single runs; the dotted '
        f"line joins the methods shown that no other one shown beats in both. Of all methods these are: {names}.</p>"
        f'<figure class="scripted" data-panel="{len(report.panels)}"><figcaption><span class="faint">up: '
        f"{safe(report.main.title)}; across: entropy kept</span></figcaption>"
        f'<svg class="plot tall" id="plot-{len(report.panels)}" tabindex="0" role="img" aria-label="Accuracy against '
        'entropy kept; arrow keys go from method to method"></svg></figure>'
    )


def _settings(report: Report) -> str:
    """The first baseline in full, every other method as changes to its own."""
    parts, whole = [], None
    comparing = any(report.question.baselines.values())
    for method in report.methods.methods:
        head = report.question.baselines.get(method.name)
        if head is None and whole is None:
            whole = method.name
            parts.append(_experiment(method, compared=report.compares))
        else:
            parts.append(
                _changes(method, report.methods.named(head or whole or method.name), own=head is None and comparing)
            )
    return "".join(parts)


def _experiment(method: Method, *, compared: bool) -> str:
    text = json.dumps(json.loads(method.runs[0].record.spec_json), indent=2, ensure_ascii=False)
    what = "baseline: the whole experiment" if compared else "the whole experiment"
    return (
        f'<details class="more"><summary>{safe(method.name)}, <span class="range">{what} of seed '
        f"{method.runs[0].seed}</span></summary><pre><code>{_lines(text)}</code></pre></details>"
    )


def _changes(method: Method, head: Method, *, own: bool) -> str:
    found = changes(head.settings, method.settings)
    rows = "".join(
        f"<li>{safe(each.path)}<del>{safe(each.before)}</del><ins>{safe(each.after)}</ins></li>" for each in found
    )
    what = f"{'a baseline itself; ' if own else ''}against {safe(head.name)}: {count(len(found), 'change')}"
    return (
        f'<details class="more"{" open" if len(found) <= MANY else ""}><summary>{safe(method.name)} '
        f'<span class="range">{what}</span></summary>{CLIP if clip_also(found) else ""}'
        f'<ul class="diff">{rows}</ul></details>'
    )


def _runs(report: Report) -> str:
    runs = sum(len(method.runs) for method in report.methods.methods)
    opened = " open" if runs <= FEW else ""
    return f'<details class="more"{opened}><summary>{count(runs, "run folder")}</summary>{runs_table(report)}</details>'


def _lines(text: str) -> str:
    return "\n".join(safe(line) for line in text.split("\n"))


def _tokens(pages: Sequence[TokenPage]) -> str:
    if not pages:
        return ""
    frames = "".join(
        f'<details class="more" data-page="{index}"><summary>{safe(each.label)}</summary>'
        f'<iframe sandbox="allow-scripts" title="{safe(each.label)}"></iframe></details>'
        for index, each in enumerate(pages)
    )
    return (
        '<p class="faint">Responses; every probed token has the colour of what one update did to the entropy of its '
        f'state.</p><div class="scripted">{frames}</div>'
    )


def _side(report: Report) -> str:
    buttons = "".join(
        f'<li><button type="button" data-method="{index}" aria-pressed="true">{swatch(index)}'
        f"<span>{safe(each.name)}</span></button></li>"
        for index, each in enumerate(report.methods.methods)
    )
    few = '<button type="button" data-choice="few">a few</button>' if len(report.methods.methods) > FEW else ""
    single = (
        '<label class="tick"><input type="checkbox" id="single-runs"> every run instead of bands</label>'
        if any(len(method.runs) > 1 for method in report.methods.methods)
        else ""
    )
    return (
        '<details class="side scripted" open><summary>Methods: <span id="count"></span></summary>'
        f'<div class="choices"><button type="button" data-choice="all">all</button>{few}'
        f'<button type="button" data-choice="none">none</button></div>{single}<ul class="methods">{buttons}</ul>'
        '<p class="faint">Shift and click: this one alone.</p></details>'
    )


def _asset(name: str) -> str:
    return files("steerctl").joinpath("assets", "report", name).read_text(encoding="utf-8")
