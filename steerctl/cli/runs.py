"""`steerctl runs`: look at run folders."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

NARROW = 70
"""Below this many columns a list of runs is paragraphs instead of a table."""

app = typer.Typer(help="List, show and compare run folders.", no_args_is_help=True)

Run = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, e.g. runs/grpo or runs/latest.")]


@app.command("compare")
def compare_runs(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN", help="Run folders, in the order of the columns.")],
    plot: Annotated[
        list[Path] | None, typer.Option("--plot", help="Draw entropy and reward here (.svg or .png); may be repeated.")
    ] = None,
    form: Annotated[Literal["table", "markdown", "csv", "json"], typer.Option("--format", help="Output.")] = "table",
) -> None:
    """Put runs side by side.

    Reward, entropy before and after, clip fractions, validation, time, and the settings in which they differ.
    """
    from rich.console import Console

    from steerctl.report.compare import compare, footnotes, render
    from steerctl.store.folder import RunFolder

    records = [RunFolder.read(path) for path in runs]
    comparison = compare(records)
    shown = render(comparison, form)
    if isinstance(shown, str):
        print(shown)
    else:
        console = Console(highlight=False)
        console.print(shown)
        console.print("", *footnotes(comparison), sep="\n", style="dim", markup=False, soft_wrap=True)
    for path in plot or ():
        from steerctl.report.curves import draw_curves

        draw_curves(records, path)
        typer.echo(f"wrote {path}", err=True)


@app.command("list")
def list_runs(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder that holds run folders.")] = Path("runs"),
) -> None:
    """List the runs in a folder, with the state and last step of each."""
    from rich.console import Console

    from steerctl.report.overview import list_table
    from steerctl.store.record import RunRecord, find_runs

    records = [RunRecord(path) for path in find_runs(folder)]
    if not records:
        print(f"no run folders in {folder}")
        return
    console, table = Console(highlight=False), list_table(records)
    if console.measure(table).minimum > console.width or console.width < NARROW:
        print_narrow(console, table)
    else:
        console.print(table)


def print_narrow(console: Console, table: Table) -> None:
    """Each row as a paragraph: the first cell, then every other one with its title, folded at the screen's edge."""
    from rich.text import Text

    titles, *columns = [[column.header, *column.cells] for column in table.columns]
    for index, name in enumerate(titles[1:], start=1):
        console.print(name, style="bold", overflow="fold")
        for column in columns:
            cell = column[index]
            text = cell if isinstance(cell, Text) else Text(str(cell))
            console.print(Text.assemble(("  " + str(column[0]).ljust(8), "dim"), text), overflow="fold")


@app.command("show")
def show_run(run: Run) -> None:
    """Show one run: state, origin, files, its last step."""
    from rich.console import Console

    from steerctl.report.overview import run_tables
    from steerctl.store.folder import RunFolder

    console = Console(highlight=False)
    for table in run_tables(RunFolder.read(run)):
        console.print(table)
