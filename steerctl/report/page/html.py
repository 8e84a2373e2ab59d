"""The page: one file that needs nothing else. No script runs but its own, known by its hash; nothing is fetched."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence, Set
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from steerctl.evaluation.seeds import OverSeeds
from steerctl.report.page.curves import Curve, Panel
from steerctl.report.page.findings import Number
from steerctl.report.page.report import Report
from steerctl.report.page.sections import (
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
from steerctl.report.tokens import digest, page_hashes, visible
from steerctl.store.atomic import write_text

FEW = 7
"""So many methods are drawn at first."""
BEFORE, PICTURES = frozenset({"found"}), frozenset({"curves", "pareto"})
"""Sections above the pictures, and those that the list of methods stands beside."""
MANY = 6
"""More changes than this are folded up."""


def write_page(report: Report, path: Path, token_pages: Sequence[TokenPage] = ()) -> None:
    """Write the page, atomically. Raises StorageError."""
    write_text(path, page(report, token_pages))


def page(report: Report, token_pages: Sequence[TokenPage] = ()) -> str:
    """The page as text."""
    style, script = _asset("page.css"), _asset("page.js")
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
        data=_json(_data(report, token_pages)),
        script=script,
    )


def _joined(found: Sequence[tuple[str, str, str]], names: Set[str]) -> str:
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
    parts = []
    for number in report.numbers:
        if number is report.main:
            parts.insert(0, f"<h3>{_headline(report, number)}</h3>{number_table(report, number)}")
        else:
            parts.append(
                f'<details class="more"><summary>{_headline(report, number)}</summary>'
                f"{number_table(report, number)}</details>"
            )
    return "".join(parts)


def _headline(report: Report, number: Number) -> str:
    unit = safe(in_unit(number.unit))
    if number.at == "last":
        return f'{safe(number.title)}{unit}, <span class="range">mean of the last {count(report.question.last_steps, "step")}</span>'
    return f'{safe(number.title)}{unit}, <span class="range">at the step with the best {safe(report.question.choose_by)}</span>'


def _curves(report: Report) -> str:
    figures = "".join(
        f'<figure data-panel="{index}"><figcaption><h3>{safe(panel.title)}</h3>'
        f'<span class="faint"><code>{safe(panel.key)}</code>{safe(in_unit(panel.unit))}{_stretch(panel)}</span></figcaption>'
        f'<svg class="plot" id="plot-{index}" tabindex="0" role="img" aria-label="{safe(panel.title)} over the steps;'
        f' arrow keys read the values"></svg></figure>'
        for index, panel in enumerate(report.panels)
    )
    several = any(len(method.runs) > 1 for method in report.methods.methods)
    bands = "Lines are means over seeds, bands their 95% intervals. " if several else ""
    return (
        f'<p class="faint">{bands}<span class="scripted">Point at a picture, or move in it with the arrow keys, for its '
        'values.</span></p><p class="unscripted">The pictures need JavaScript, which this page carries itself; the tables '
        f'do without.</p><div class="panels scripted">{figures}</div>'
    )


def _stretch(panel: Panel) -> str:
    return f", means of {panel.stretch} steps" if panel.stretch > 1 else ""


def _pareto(report: Report) -> str:
    if not (report.compares and report.main and report.kept):
        return ""
    names = ", ".join(safe(name) for name in report.front)
    return (
        f'<p class="faint">Large marks are means over seeds with their 95% intervals, dots the single runs; the dotted line '
        f"joins the methods shown that no other one shown beats in both. Of all methods these are: {names}.</p>"
        f'<figure class="scripted" data-panel="{len(report.panels)}"><figcaption><span class="faint">up: '
        f"{safe(report.main.title)}; across: entropy kept</span></figcaption>"
        f'<svg class="plot tall" id="plot-{len(report.panels)}" tabindex="0" role="img" aria-label="Accuracy against '
        'entropy kept; arrow keys go from method to method"></svg></figure>'
    )


def _settings(report: Report) -> str:
    parts = []
    for method in report.methods.methods:
        head = report.question.baselines.get(method.name)
        if head is None:
            text = json.dumps(json.loads(method.runs[0].record.spec_json), indent=2, ensure_ascii=False)
            what = "baseline: the whole experiment" if report.compares else "the whole experiment"
            parts.append(
                f'<details class="more"><summary>{safe(method.name)}, <span class="range">{what} of seed '
                f"{method.runs[0].seed}</span></summary><pre><code>{_lines(text)}</code></pre></details>"
            )
            continue
        found = changes(report.methods.named(head).settings, method.settings)
        rows = "".join(
            f"<li>{safe(each.path)}<del>{safe(each.before)}</del><ins>{safe(each.after)}</ins></li>" for each in found
        )
        warn = (
            '<p class="warn">The clip bound differs too: what is found may be its doing.</p>'
            if clip_also(found)
            else ""
        )
        parts.append(
            f'<details class="more"{" open" if len(found) <= MANY else ""}><summary>{safe(method.name)} '
            f'<span class="range">against {safe(head)}: {count(len(found), "change")}</span></summary>{warn}'
            f'<ul class="diff">{rows}</ul></details>'
        )
    return "".join(parts)


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
        '<p class="faint">Responses, every probed token coloured by what one update did to the entropy of its state.</p>'
        f'<div class="scripted">{frames}</div>'
    )


def _side(report: Report) -> str:
    buttons = "".join(
        f'<li><button type="button" data-method="{index}" aria-pressed="true">{swatch(index)}<span>{safe(each.name)}</span>'
        "</button></li>"
        for index, each in enumerate(report.methods.methods)
    )
    few = f'<button type="button" data-choice="few">first {FEW}</button>' if len(report.methods.methods) > FEW else ""
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


def _data(report: Report, token_pages: Sequence[TokenPage]) -> dict[str, Any]:
    panels: list[dict[str, Any]] = [
        {"stretch": panel.stretch, "curves": [_curve(each) for each in panel.curves]} for panel in report.panels
    ]
    if report.compares and report.main and report.kept:
        panels.append(_points(report, report.main, report.kept))
    names = [method.name for method in report.methods.methods]
    return {
        "methods": [_plain(name) for name in names],
        "shown": _first(report, names),
        "panels": panels,
        "pages": [each.html for each in token_pages],
    }


def _first(report: Report, names: Sequence[str]) -> list[int]:
    """What is drawn at first: everything if it is little, else the baselines and the first few."""
    if len(names) <= FEW:
        return list(range(len(names)))
    heads = [index for index, name in enumerate(names) if report.question.baselines.get(name) is None]
    return sorted([*heads[:FEW], *[index for index in range(len(names)) if index not in heads]][:FEW])


def _curve(curve: Curve) -> dict[str, Any]:
    found: dict[str, Any] = {"method": curve.method, "x": _numbers(curve.steps_T), "y": _numbers(curve.bands.mean_T)}
    if len(curve.runs_ST) > 1:
        found |= {"low": _numbers(curve.bands.low_T), "high": _numbers(curve.bands.high_T)}
        found["runs"] = [_numbers(run_T) for run_T in curve.runs_ST]
    return found


def _points(report: Report, up: Number, across: Number) -> dict[str, Any]:
    points = []
    for index, method in enumerate(report.methods.methods):
        one, other = across.found.get(method.name), up.found.get(method.name)
        if one is not None and other is not None:
            seeds = across.values[method.name].keys() & up.values[method.name].keys()
            pairs = [[across.values[method.name][seed], up.values[method.name][seed]] for seed in sorted(seeds)]
            points.append({
                "method": index, **_ends("x", one), **_ends("y", other), "seeds": [_numbers(pair) for pair in pairs],
            })  # fmt: skip
    return {"points": points, "up": up.title, "across": "entropy kept"}


def _ends(name: str, found: OverSeeds) -> Mapping[str, float | None]:
    value, low, high = _numbers([found.mean.value, found.mean.low, found.mean.high])
    return {name: value, f"{name}Low": low, f"{name}High": high}


def _numbers(values: Iterable[float | None]) -> list[float | int | None]:
    return [_short(value) for value in values]


def _short(value: float | None) -> float | int | None:
    if value is None or not math.isfinite(value):
        return None
    found = float(f"{value:.4g}") if abs(value) < 10_000 else round(float(value), 1)
    return int(found) if found.is_integer() else found


def _plain(name: str) -> str:
    """As `safe` shows it, without the escapes of HTML: the script sets it as text."""
    return visible(name)


def _json(found: Mapping[str, Any]) -> str:
    """No `<` in it, so that nothing in it can end the element it stands in."""
    text = json.dumps(found, allow_nan=False, separators=(",", ":"), ensure_ascii=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _asset(name: str) -> str:
    return files("steerctl").joinpath("assets", "report", name).read_text(encoding="utf-8")
