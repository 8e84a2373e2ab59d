"""`steerctl doctor`: what is installed here, what works, what to install."""

from __future__ import annotations

from typing import Annotated

import typer


def doctor(
    full: Annotated[bool, typer.Option("--full", help="Start a real vLLM server too and ask it; a minute.")] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON object, for scripts.")] = False,
) -> None:
    r"""Say what is installed, what works on this machine, and what to install.

    Versions are shown with the window that was tested. ZeRO-3 and vLLM are tried out, each in a process of its own.

    \b
      steerctl doctor
      steerctl doctor --full
      steerctl doctor --json | python -m json.tool

    Exit code 0 if training works, 1 if not; everything else is advice.
    """
    from steerctl.cli._health import show
    from steerctl.run.doctor import examine

    if not show(examine(full=full), json=json):
        raise typer.Exit(1)
