"""`steerctl report`: what runs and sweeps show, on one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN_OR_SWEEP", help="Run folders, folders of runs, folders of sweeps.")
    ],
    *,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The page; report.html in the folder given if not said.")
    ] = None,
    baseline: Annotated[
        str | None, typer.Option(metavar="NAME", help="Compare every method with this one; the sweep's if not given.")
    ] = None,
    metric: Annotated[
        str | None, typer.Option(metavar="KEY", help="The number it is about, a key of metrics.jsonl.")
    ] = None,
    last: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="A run's value is its mean over so many last steps.")
    ] = None,
    tables: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Also write the tables here: CSV, LaTeX, Markdown.")
    ] = None,
    figures: Annotated[Path | None, typer.Option(metavar="DIR", help="Also write the pictures here, as SVG.")] = None,
) -> None:
    r"""Put runs or a sweep on one page: findings over seeds, curves, cost.

    Runs of equal settings but for the seed make a method. Every method is compared with its baseline in pairs of equal
    seeds: 95% intervals, p corrected for the number of methods (Holm), effect size, and plain words. Settings, tokens
    and cost are on the page too, which is one file and needs no network. Page: docs/report.md.

    \b
      steerctl report runs/study
      steerctl report runs/grpo-seed* runs/steer-seed* --baseline grpo --out report.html
      steerctl report runs/study --tables tables --figures figures
      steerctl report runs/latest
    """
    from steerctl.cli._report import gather, out_path
    from steerctl.report.page.html import write_page
    from steerctl.report.page.report import make_report
    from steerctl.report.page.token_pages import token_pages

    gathered = gather(runs, baseline=baseline, metric=metric, last=last)
    found = make_report(gathered.methods, gathered.asked)
    path = out or out_path(runs)
    write_page(found, path, token_pages(gathered.methods))
    written = [path]
    if tables is not None:
        from steerctl.report.page.files import write_tables

        written += write_tables(found, tables)
    if figures is not None:
        from steerctl.report.page.figures import write_figures

        written += write_figures(found, figures)
    for note in gathered.methods.notes:
        typer.echo(f"note: {note}", err=True)
    print(*written, sep="\n")
