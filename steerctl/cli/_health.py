"""How `steerctl doctor` shows what it found, as it finds it."""

from __future__ import annotations

import json as json_text
from collections.abc import Iterable
from dataclasses import asdict

from rich.console import Console
from rich.text import Text

from steerctl.run.doctor import Line

STYLES = {"ok": "green", "note": "cyan", "missing": "bold red", "broken": "bold red"}
NAME_WIDTH = 17


def show(lines: Iterable[Line], *, json: bool) -> bool:
    """Print every line on standard output; returns whether training works."""
    console = Console(soft_wrap=True, highlight=False)
    seen: list[Line] = []
    for line in lines:
        if not json and (not seen or seen[-1].section != line.section):
            console.print(Text(line.section, style="bold"))
        seen.append(line)
        if not json:
            console.print(_shown(line))
    works = not any(line.stops_training for line in seen)
    if json:
        print(json_text.dumps({"training_works": works, "lines": [asdict(line) for line in seen]}))
        return works
    advice = [line for line in seen if line.advice]
    if advice:
        console.print(Text("to install or mend", style="bold"))
    for line in advice:
        console.print(Text(f"  {line.name.ljust(NAME_WIDTH)} {line.advice}"))
    stopping = ", ".join(line.name for line in seen if line.stops_training)
    console.print(Text("training works" if works else f"training does not work: {stopping}", style="bold"))
    return works


def _shown(line: Line) -> Text:
    label = Text(f"  {line.state.ljust(8)}", style=STYLES[line.state])
    return label + Text(f"{line.name.ljust(NAME_WIDTH)} {line.text}", style="default")
