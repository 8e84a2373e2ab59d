"""`steerctl runs`: look at run folders."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from steerctl.store.record import RunRecord

NARROW = 70
"""Below this many columns a list of runs is paragraphs instead of a table."""

app = typer.Typer(help="List, show and compare run folders.", no_args_is_help=True)

Run = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, e.g. runs/grpo or runs/latest.")]


@app.command("compare")
def compare_runs(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN", help="Run folders, in the order of the columns; or folders of runs.")
    ],
    plot: Annotated[
        list[Path] | None, typer.Option("--plot", help="Draw entropy and reward here (.svg or .png); may be repeated.")
    ] = None,
    form: Annotated[Literal["table", "markdown", "csv", "json"], typer.Option("--format", help="Output.")] = "table",
    *,
    where: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="Only those with this setting; may be repeated.")
    ] = None,
    state: Annotated[
        Literal["running", "finished", "interrupted", "failed"] | None, typer.Option(help="Only those in this state.")
    ] = None,
    method: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only those of this name without seed, else with this kind.")
    ] = None,
    sort: Annotated[str | None, typer.Option(metavar="KEY", help="As in `runs list`.")] = None,
) -> None:
    """Put runs side by side.

    Reward, entropy before and after, clip fractions, validation, time, and the settings in which they differ.
    """
    from rich.console import Console

    from steerctl.report.compare import compare, footnotes, has_steps, render
    from steerctl.report.select import Wanted, select
    from steerctl.store.folder import RunFolder
    from steerctl.store.record import find_runs

    found = [path for given in runs for path in find_runs(given) or find_runs(given / "runs") or [given]]
    records = select([RunFolder.read(path) for path in found], Wanted(tuple(where or ()), state, method, sort))
    begun = [record for record in records if record.path in runs or has_steps(record)]
    if len(begun) < len(records):
        typer.echo(f"note: {len(records) - len(begun)} runs have no finished step yet and are left out", err=True)
    if not begun:
        print(f"none of the {len(found)} runs {'is like that' if not records else 'has a finished step'}")
        return
    records = begun
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
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="The folder that holds run folders, or of a sweep.")
    ] = Path("runs"),
    *,
    where: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="A setting, e.g. optim.lr=1e-6; may be repeated.")
    ] = None,
    state: Annotated[
        Literal["running", "finished", "interrupted", "failed"] | None, typer.Option(help="In this state.")
    ] = None,
    method: Annotated[
        str | None, typer.Option(metavar="NAME", help="A run's name without its seed, else a kind in its algorithm.")
    ] = None,
    sort: Annotated[
        str | None, typer.Option(metavar="KEY", help="name, state, step, created or a metric; -KEY: largest first.")
    ] = None,
    form: Annotated[Literal["table", "json"], typer.Option("--format", help="Output.")] = "table",
) -> None:
    r"""List the runs in a folder, with the state and last step of each.

    \b
      steerctl runs list --state finished --where optim.lr=1e-6 --where algorithm.interventions.0=steer
      steerctl runs list runs/study --method grpo --sort -reward/mean
      steerctl runs list --format json
    """
    import json

    from steerctl.errors import RunFolderError
    from steerctl.report.overview import run_json
    from steerctl.report.select import Wanted, select
    from steerctl.store.record import RunRecord, find_runs

    if not folder.exists() and folder != Path("runs"):
        raise RunFolderError(f"{folder} does not exist; name a folder of runs, or of a sweep")
    found = find_runs(folder) or find_runs(folder / "runs")
    records = select([RunRecord(path) for path in found], Wanted(tuple(where or ()), state, method, sort))
    if form == "json":
        print(json.dumps([run_json(record) for record in records], indent=1, allow_nan=False))
    elif not records:
        print(f"no run folders in {folder}" if not found else f"none of the {len(found)} runs in {folder} is like that")
    else:
        _print_list(records, sort)


def _print_list(records: list[RunRecord], sort: str | None) -> None:
    from rich.console import Console

    from steerctl.report.overview import list_table

    console, table = Console(highlight=False), list_table(records, sort)
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
            title = str(column[0]).replace("\n", "").ljust(8)
            console.print(Text.assemble((f"  {title}", "dim"), text), overflow="fold")


@app.command("show")
def show_run(
    run: Run,
    *,
    form: Annotated[Literal["table", "json"], typer.Option("--format", help="Output.")] = "table",
) -> None:
    """Show one run: state, origin, files, its last step; as JSON also its settings."""
    from rich.console import Console

    from steerctl.report.overview import run_json, run_tables
    from steerctl.store.folder import RunFolder

    record = RunFolder.read(run)
    if form == "json":
        import json

        print(json.dumps(run_json(record), indent=1, allow_nan=False))
        return
    console = Console(highlight=False)
    for table in run_tables(record):
        console.print(table)
