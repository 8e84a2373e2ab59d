"""How `steerctl check` shows a sweep: what was found in any of its experiments and in comparing them."""

from __future__ import annotations

import json as json_text
from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from steerctl.cli._present import STYLES, verdict
from steerctl.spec.machine import Machine


def check_sweep_file(file: str, overrides: Sequence[str], machine: Machine | None, *, json: bool, brief: bool) -> bool:
    """One sweep's answer on standard output; whether anything in it is an error."""
    from steerctl.sweep.command import check_sweep, plan_sweep

    agenda = plan_sweep(file, overrides)
    findings = check_sweep(agenda, machine)
    wrong = any(finding.level == "error" for finding in findings)
    if json:
        answer = {
            "file": file,
            "variants": [variant.name for variant in agenda.variants],
            "seeds": list(agenda.sweep.spec.seeds),
            "findings": [{"level": each.level, "path": each.path, "text": each.text} for each in findings],
        }
        print(json_text.dumps(answer))
        return wrong
    console = Console(soft_wrap=True, highlight=False)
    for found in findings:
        if not brief or found.level != "note":
            label = Text(f"{found.level}: ", style=STYLES[found.level])
            console.print(label + Text(f"{file}: {found.path}: {found.text}", style="default"))
    runs = f"{len(agenda.jobs)} trials" if agenda.sweep.spec.search else f"{len(agenda.variants)} variants"
    seeds = len(agenda.sweep.spec.seeds)
    console.print(Text(f"{file}: {runs}, {seeds} {'seed' if seeds == 1 else 'seeds'} each: {verdict(findings)}"))
    return wrong
