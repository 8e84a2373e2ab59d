"""How `steerctl check` shows an experiment and what it found."""

from __future__ import annotations

import json as json_text
import sys

import yaml
from rich.console import Console
from rich.syntax import Syntax
from rich.text import Text

from steerctl.spec.finding import Finding
from steerctl.spec.load import LoadedSpec

STYLES = {"error": "bold red", "warning": "yellow", "note": "cyan"}


def present(file: str, loaded: LoadedSpec, findings: list[Finding], *, json: bool, brief: bool) -> None:
    """One file's answer on standard output; findings at the line they were written on."""
    if json:
        answer = {
            "file": file,
            "spec": loaded.spec.model_dump(mode="json"),
            "findings": [
                {
                    "level": found.level,
                    "path": found.path,
                    "origin": loaded.blame(found.path, found.text),
                    "text": found.text,
                }
                for found in findings
            ],
        }
        print(json_text.dumps(answer))
        return
    console = Console(soft_wrap=True, highlight=False)
    if not brief:
        _print_spec(console, loaded)
    for found in findings:
        if brief and found.level == "note":
            continue
        label = Text(f"{found.level}: ", style=STYLES[found.level])
        console.print(
            label + Text(f"{loaded.blame(found.path, found.text)}: {found.path}: {found.text}", style="default")
        )
    console.print(Text(f"{file}: {verdict(findings)}"))


def _print_spec(console: Console, loaded: LoadedSpec) -> None:
    """The experiment with every default written out, as YAML that can be pasted back."""
    text = yaml.dump(
        loaded.spec.model_dump(mode="json"), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110
    )
    if sys.stdout.isatty():
        console.print(Syntax(text, "yaml", theme="ansi_dark", background_color="default"))
    else:
        print(text)


class _Dumper(yaml.SafeDumper):
    """YAML 1.2: words such as `off` need no quotes for our reader, but keep them for everyone else's."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002 (PyYAML's signature)
        """List items one level deeper than their key."""
        super().increase_indent(flow, indentless=False)


def _float(dumper: yaml.SafeDumper, value: float) -> yaml.ScalarNode:
    """`1e-06` as `1.0e-6`: a number in YAML 1.1 and 1.2."""
    text = {"inf": ".inf", "-inf": "-.inf", "nan": ".nan"}.get(repr(value), repr(value))
    if "e" in text and "." not in text:
        text = text.replace("e", ".0e")
    return dumper.represent_scalar("tag:yaml.org,2002:float", text)


def _list(dumper: yaml.SafeDumper, items: list[object]) -> yaml.SequenceNode:
    """Numbers and texts on one line, `[1, 99]`; mappings below each other."""
    flat = not any(isinstance(item, (dict, list)) for item in items)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", items, flow_style=flat)


_Dumper.add_representer(float, _float)
_Dumper.add_representer(list, _list)


def verdict(findings: list[Finding]) -> str:
    """`ready`, or `not ready`, with what was found."""
    counts = [(level, sum(found.level == level for found in findings)) for level in ("error", "warning", "note")]
    said = ", ".join(f"{count} {level}{'s' if count != 1 else ''}" for level, count in counts if count)
    ready = "not ready" if any(found.level == "error" for found in findings) else "ready"
    return f"{ready} ({said})" if said else ready
