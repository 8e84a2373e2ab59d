"""`steerctl interventions`: the methods that are here, in short or one in full."""

from __future__ import annotations

from typing import Annotated, Literal

import typer


def interventions(
    kind: Annotated[str | None, typer.Argument(metavar="KIND", help="One method, in full.")] = None,
    room: Annotated[
        Literal["intervention", "loss", "advantage"], typer.Option("--room", help="What to list.")
    ] = "intervention",
    json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False,
) -> None:
    r"""List the interventions, or explain one.

    The list gives kind, factors touched (C clip, A advantage, P probability, E entropy), scope of the statistics, idea.
    In full: formula, presets, source, departures, every setting with its default and origin, measured effect. Losses
    and advantage estimators likewise; plug-ins of your own are among them (docs/plugins.md).

    \b
      steerctl interventions
      steerctl interventions steer
      steerctl interventions --room loss
    """
    from steerctl.cli import _methods

    if kind is None:
        _methods.show_list(room, json=json)
    else:
        _methods.show_one(kind, json=json)
