"""Writes experiment.schema.json and cli_help.txt in this folder; `make golden` calls it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]


def help_text() -> str:
    """`--help` of the program and of every command below it, 100 columns wide."""
    return "\n".join(f"$ {' '.join(['steerctl', *words, '--help'])}\n{_help(words)}" for words in _commands([]))


def _help(words: list[str]) -> str:
    environment = {**os.environ, "COLUMNS": "100", "TERM": "dumb", "NO_COLOR": "1"}
    command = [sys.executable, "-m", "steerctl", *words, "--help"]
    return subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def _commands(words: list[str]) -> list[list[str]]:
    """This command and those its help lists, depth first."""
    below = _help(words).partition("\nCommands:\n")[2].partition("\n\n")[0].splitlines()
    names = [line.split()[0] for line in below if line.startswith("  ") and not line.startswith("   ")]
    return [words, *(each for name in names for each in _commands([*words, name]))]


def main() -> None:
    """Both files."""
    from steerctl.spec.schema import schema_text

    (HERE / "experiment.schema.json").write_text(schema_text(), encoding="utf-8")
    (HERE / "cli_help.txt").write_text(help_text(), encoding="utf-8")


if __name__ == "__main__":
    main()
