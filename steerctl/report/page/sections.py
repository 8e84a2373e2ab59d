"""The parts of the page that are words and tables. Everything that comes from runs goes through `safe`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from steerctl.evaluation.ends import value_at
from steerctl.evaluation.seeds import OverSeeds
from steerctl.report.compare import QUANTITIES, Quantity, RunSummary, summarise
from steerctl.report.page.findings import NONE_AFTER, NONE_SEEN, PHASES, Number, usable, verdict
from steerctl.report.page.report import Report
from steerctl.report.page.text import (
    DASH,
    bounds,
    count,
    decimals,
    difference_places,
    duration,
    ends_of,
    fixed,
    in_unit,
    large,
    number_places,
    p_text,
    safe,
)
from steerctl.store.record import RunRecord

Cells = Sequence[str]
COMPARED = (
    "A difference is the mean over the seeds that both methods have, seed by seed: equal seeds ask equal problems",
    "p is that of the paired t test, after Holm's correction over all methods of the same table",
    f"{NONE_SEEN}: p above 0.05, which does not say that there is none",
    f"{NONE_AFTER}: the interval, which is that of one comparison, leaves out 0; p among so many comparisons does not",
    "Detectable alone: a true difference found with a chance of 80% if nothing else were compared; among many, larger",
    "g is Hedges' effect size of the pairs: mean difference over its standard deviation, corrected for few pairs",
)
FOREST = 144.0
"""Width of a row's picture of its difference."""


def lead(report: Report) -> str:
    """What this is and, in a sentence per method, what was found."""
    runs = [run for method in report.methods.methods for run in method.runs]
    seeds = sorted({run.seed for run in runs})
    said = f"{count(len(report.methods.methods), 'method')}, {count(len(runs), 'run')}, {count(len(seeds), 'seed')}."
    if not report.compares and len(runs) == 1:
        said = f"One run, seed {seeds[0]}, {safe(runs[0].state)} after step {runs[0].steps}. One seed has no interval."
    parts = [f"<p>{said}</p>"]
    if any(report.question.baselines.values()) and report.main is not None:
        parts.append(f"<p>{_summary(report, report.main)}</p>{_worse_than_before(report, report.main)}")
    if report.methods.notes:
        notes = "".join(f"<li>{safe(note)}</li>" for note in report.methods.notes)
        parts.append(f'<ul class="notes warn">{notes}</ul>')
    return "".join(parts)


def _summary(report: Report, number: Number) -> str:
    """Which methods are higher, which lower, and of which nothing can be said."""
    found: dict[str, list[str]] = {}
    for name, each in number.found.items():
        if each.baseline is not None:
            found.setdefault(verdict(each), []).append(name)
    order = ["higher", "lower", NONE_AFTER, NONE_SEEN]
    keys = sorted(found, key=lambda key: order.index(key) if key in order else len(order))
    words = [f"<strong>{escape(key)}</strong>: {', '.join(safe(name) for name in found[key])}" for key in keys]
    heads = list(dict.fromkeys(each for each in report.question.baselines.values() if each))
    against = f" against {' or '.join(safe(head) for head in heads)}" if heads else ""
    return f"{safe(number.title)}{against}. {'; '.join(words)}."


def _worse_than_before(report: Report, number: Number) -> str:
    """Methods that end below what was measured before the first step: what they keep of entropy is no merit."""
    sign = -1 if report.question.direction == "minimize" else 1
    before = {}
    for name, runs in usable(report.methods.methods).items():
        values = [value for run in runs if (value := value_at(run.lines, number.key, 0)) is not None]
        if values and name in number.found:
            before[name] = math.fsum(values) / len(values)
    worse = [name for name in before if sign * (number.found[name].mean.value - before[name]) < 0]
    if not worse:
        return ""
    least, most = (f"{fixed(end, decimals(before.values()))}" for end in (min(before.values()), max(before.values())))
    start = least if least == most else f"{least} to {most}"
    names = ", ".join(safe(name) for name in worse)
    return f"<p>Before training it was {start}. <strong>Worse at the end than before</strong>: {names}.</p>"


def number_table(report: Report, number: Number) -> str:
    """A row per method: mean, difference to its baseline as numbers and as a picture, p, effect, words."""
    compared = any(each.baseline is not None for each in number.found.values())
    mean_places, places = number_places(number)
    reach = max((abs(end) for each in number.found.values() for end in ends_of(each)), default=1.0) or 1.0
    heads = ["method", "mean [95%]", "seeds"]
    if compared:
        heads += ["difference to baseline [95%]", "", "p, Holm", "effect g", "detectable alone", "finding"]
    rows = []
    for name, each in number.found.items():
        cells = [_with_range(fixed(each.mean.value, mean_places), bounds(each.mean, mean_places)), str(each.mean.units)]
        if compared:
            cells += _compared_cells(each, places, reach)
        rows.append([_method(report, name), *cells])
    return table(heads, rows, "cards", text=("finding",))


def contrasts_table(report: Report) -> str:
    """A row per planned contrast: what was asked, of which number, and the answer."""
    reach: dict[str, float] = {}
    for answer in report.planned:
        reach[answer.key] = max([reach.get(answer.key, 0.0), *map(abs, ends_of(answer.found))])
    rows = []
    for answer in report.planned:
        against = _with_range(safe(answer.method), f"against {safe(answer.baseline)}")
        title = f'<span>{safe(answer.title)}<span class="range">{safe(in_unit(answer.unit))}</span></span>'
        cells = _compared_cells(answer.found, difference_places([answer.found]), reach[answer.key] or 1.0)
        rows.append([safe(answer.says), against, title, *cells])
    heads = ["asked", "of", "number", "difference [95%]", "", "p, Holm", "effect g", "detectable alone", "finding"]
    return table(heads, rows, "cards", text=("of", "number", "finding"))


def _compared_cells(each: OverSeeds, places: int, reach: float) -> list[str]:
    if each.baseline is None:
        return ["baseline", "", "", "", "", ""]
    if each.difference is None:
        return ["", "", "", "", "", escape(verdict(each))]
    value = fixed(each.difference.value, places, signed=True)
    finding = escape(verdict(each))
    if each.detected:
        finding = f'<span class="{finding}">{finding}</span>'
    return [
        _with_range(value, bounds(each.difference, places, signed=True)),
        _forest(each, reach),
        p_text(each.p_adjusted),
        fixed(each.effect, 2, signed=True),
        fixed(each.seen, places),
        finding,
    ]


def _forest(each: OverSeeds, reach: float) -> str:
    """The difference and its interval on an axis that all rows share; the middle is 0."""
    found = each.difference
    if found is None:
        return ""

    def x(value: float) -> float:
        return round(FOREST / 2 * (1 + 0.95 * value / reach), 1)

    low, high = (found.low, found.high) if found.low is not None and found.high is not None else (found.value,) * 2
    return (
        f'<svg class="forest" viewBox="0 0 {FOREST:.0f} 20" aria-hidden="true" preserveAspectRatio="none">'
        f'<path class="axis" d="M{FOREST / 2} 0V20"/><path class="span" d="M{x(low)} 10H{x(high)}"/>'
        f'<circle class="point" cx="{x(found.value)}" cy="10" r="4"/></svg>'
    )


def one_method_table(report: Report) -> str:
    """Of one method: a row per number."""
    rows: dict[str, dict[str, str]] = {}
    for number in report.numbers:
        for each in number.found.values():
            places = decimals([each.mean.value])
            text = _with_range(fixed(each.mean.value, places), bounds(each.mean, places))
            unit = f'<span class="range">{safe(in_unit(number.unit))}</span>'
            rows.setdefault(f"{safe(number.title)}{unit}", {})[number.at] = text
    last = f"mean of the last {count(report.question.last_steps, 'step')}"
    heads = ["number", last, f"at the step with the best {safe(report.question.choose_by)}"]
    found = table(
        heads, [[title, each.get("last", ""), each.get("chosen", "")] for title, each in rows.items()], "cards"
    )
    (method,) = report.methods.methods
    return found + (_one_run(method.runs[0].record) if len(method.runs) == 1 else "")


def _one_run(record: RunRecord) -> str:
    """How it began and ended, and where it comes from."""
    summary = summarise(record)
    known = [each for each in QUANTITIES if summary.values[each.key] is not None]
    course = table(["from first to last", ""], [[each.label, _written(each, summary)] for each in known])
    environment = record.environment
    packages = ", ".join(f"{name} {version}" for name, version in environment.get("packages", {}).items())
    origin = {"command": " ".join(map(str, environment.get("command", []))), "packages": packages}
    return course + table(["origin", ""], [[name, safe(text)] for name, text in origin.items() if text], text=("",))


def _written(quantity: Quantity, summary: RunSummary) -> str:
    value = summary.values[quantity.key]
    return safe(quantity.form.format(value)) if value is not None and math.isfinite(value) else DASH


def cost_table(report: Report) -> str:
    """A row per method: tokens and time of a run, and where the time went."""
    used = [name for name in PHASES if any(name in each.parts for each in report.costs.values())]
    rows = []
    for name, each in report.costs.items():
        base = report.costs.get(report.question.baselines.get(name) or "")
        ratio = each.seconds / base.seconds if base and base.seconds and each.seconds else None
        rate = each.tokens / each.seconds if each.tokens and each.seconds else None
        cells = [str(each.runs), f"{each.steps:.0f}", large(each.tokens), duration(each.seconds)]
        cells += [f"{ratio:.2f} ×" if ratio else "", large(rate)]
        parts = [f"{each.parts[p] / each.seconds:.0%}" if each.seconds and p in each.parts else "" for p in used]
        rows.append([_method(report, name), *cells, *parts])
    heads = ["method", "runs", "steps", "tokens trained on", "time of a run", "time to baseline's", "tokens / s", *used]
    return table(heads, rows, "cards")


def runs_table(report: Report) -> str:
    """A row per run folder."""
    main, kept = report.main, report.kept
    places = decimals(value for own in main.values.values() for value in own.values()) if main else 3
    rows = []
    for method in report.methods.methods:
        for run in method.runs:
            environment = run.record.environment
            code = environment.get("code") or {}
            commit = str(code.get("commit") or "")[:10] + (" with changes" if code.get("changed") else "")
            value = main.values.get(method.name, {}).get(run.seed) if main else None
            share = kept.values.get(method.name, {}).get(run.seed) if kept else None
            created = str(environment.get("created", ""))[:16].replace("T", " ")
            rows.append([
                safe(run.record.path), safe(run.state), str(run.seed), str(run.steps), fixed(value, places),
                f"{share:.0%}" if share is not None else "", safe(created), safe(commit),
            ])  # fmt: skip
    heads = ["run", "state", "seed", "steps", safe(main.title) if main else "", "entropy kept", "created", "code"]
    return table(heads, rows, "cards", text=("created", "code", "state"))


def reading_notes(report: Report) -> str:
    """How every number on the page came about."""
    last = count(report.question.last_steps, "step")
    used = usable(report.methods.methods)
    pairs = max((each.pairs for number in report.numbers for each in number.found.values()), default=0)
    finished = any(run.finished for runs in used.values() for run in runs)
    counted = "only finished runs count" if finished else "no run is finished, so these are values so far"
    notes = [
        f"A run's value is its mean over its last {last}, of those of them that have it; {counted}",
        "Brackets and bands are 95% intervals over seeds (Student's t); a band holds at each step by itself",
        *(COMPARED if any(report.question.baselines.values()) else ()),
    ]
    if report.planned:
        notes.append(
            "Planned contrasts are those that the sweep's file names; their p is corrected over them alone, which is"
            " fair only to contrasts that were named before the runs were looked at"
        )
    if pairs:
        least = f"p = {2.0**-pairs:.2g} with {count(pairs, 'pair')}"
        notes.append(f"The sign-flip test, which assumes no distribution, cannot give less than {least}; see --tables")
    notes.append("Entropy kept: entropy after the last steps over the entropy before the first one, nats per token")
    return f'<ul class="notes">{"".join(f"<li>{safe(note)}.</li>" for note in notes)}</ul>'


def table(heads: Cells, rows: Sequence[Cells], kind: str = "", text: Cells = ()) -> str:
    """An HTML table whose first column names the row; cells are HTML already."""
    head = "".join(f'<th scope="col"{_class(name, text)}>{name}</th>' for name in heads)
    body = []
    for first, *others in rows:
        cells = "".join(
            f'<td data-label="{name}"{_class(name, text)}>{cell}</td>'
            for name, cell in zip(heads[1:], others, strict=True)
        )
        body.append(f'<tr><th scope="row">{first}</th>{cells}</tr>')
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="Table">'
        f'<table class="data {kind}"><thead><tr>{head}</tr></thead><tbody>{"".join(body)}</tbody></table></div>'
    )


def _class(name: str, text: Cells) -> str:
    return ' class="text wide"' if name in text else ""


def _with_range(value: str, interval: str) -> str:
    return f'<span>{value} <span class="range">{interval}</span></span>' if interval else value


def _method(report: Report, name: str) -> str:
    index = next(index for index, each in enumerate(report.methods.methods) if each.name == name)
    return f"{swatch(index)} {safe(name)}" if report.compares else safe(name)


def swatch(index: int) -> str:
    """A stroke in the method's colour and dashes."""
    return (
        '<svg class="swatch" viewBox="0 0 40 12" aria-hidden="true">'
        f'<path class="curve c{index % 7} d{index % 5}" d="M1 6H39"/></svg>'
    )
