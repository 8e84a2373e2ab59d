"""`steerctl analyze`: what single updates of a stored run did to the entropy of single tokens, and why."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer


def analyze(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, e.g. runs/grpo or runs/latest.")],
    *,
    step: Annotated[
        list[int] | None, typer.Option(metavar="N", min=1, help="This step; may be repeated. A few if not given.")
    ] = None,
    positions: Annotated[int, typer.Option(metavar="N", min=1, help="Tokens looked at in each update.")] = 96,
    own: Annotated[
        bool, typer.Option("--own/--no-own", help="With each token's own gradient, which costs most of the time.")
    ] = True,
    dtype: Annotated[Literal["float64", "float32"], typer.Option(help="Precision of the derivatives.")] = "float64",
    sgd: Annotated[
        float | None,
        typer.Option(metavar="RATE", min=0, help="Also what plain gradient descent would have done at this rate."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where the tables go; RUN/analysis if not given.")
    ] = None,
    page: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write a page of responses, every token coloured.")
    ] = None,
    slices: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Also write a CSV of agreement by step, quadrant, probability, ..."),
    ] = None,
) -> None:
    r"""Take updates of a stored run apart, token by token.

    A step whose responses are stored, and the checkpoint before it (none for step 1), is done again exactly, in one
    process. For tokens drawn from each of its updates: the measured change of entropy, what every formula foretold,
    and its parts: the token's own gradient, interference of all others, remainder of higher order. One table per
    step, parquet; columns: steerctl/analysis/columns.py.

    \b
      steerctl analyze runs/quickstart-grpo
      steerctl analyze runs/grpo --step 1 --step 41 --positions 512
      steerctl analyze runs/grpo --slices slices.csv --sgd 0.1
      steerctl analyze runs/grpo --page tokens.html      # open it in a browser; it needs no network
      steerctl analyze runs/grpo --no-own --dtype float32 --out tables
      steerctl train exp.yaml checkpoint.keep=100        # keeps the start of more steps
    """
    from steerctl.run.interrupt import at_start

    with at_start():  # before the seconds of import below
        from steerctl.cli._laboratory import present, write_page, write_slices
        from steerctl.run.analyze import AnalyzeRequest, analyze_run

        request = AnalyzeRequest(run, tuple(step or ()), positions, own, dtype, sgd, out)
        steps = analyze_run(request, typer.echo)
        if page is not None:
            write_page(steps, page, f"What updates did to entropy: {run}")
        if slices is not None:
            write_slices(steps, slices)
        present(steps)
        for name, path in (("page", page), ("slices", slices)):
            if path is not None:
                typer.echo(f"{name}: {path}")
