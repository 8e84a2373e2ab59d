"""`steerctl sweep`: many experiments, one comparison."""

from __future__ import annotations

from typing import Annotated, Literal

import typer


def sweep(
    file: Annotated[str, typer.Argument(metavar="SWEEP.yaml", help="The sweep.")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="KEY=VALUE", help="Changes to it (seeds=[1,2]), or to every experiment (steps=20)."),
    ] = None,
    *,
    only: Annotated[
        str | None, typer.Option(metavar="VARIANT,...", help="Only the cells of these variants; all others stay.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Cells at a time; as many as the machine has room for.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the cells, their state and what they cost.")
    ] = False,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Run cells again that failed.")] = False,
    launcher: Annotated[
        Literal["here", "slurm", "local"],
        typer.Option(help="slurm: submit N workers as jobs; local: N in the background."),
    ] = "here",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print only warnings and the result.")] = False,
) -> None:
    r"""Run every variant with every seed, each cell once, and compare.

    The same command goes on where it was stopped, however it was stopped; given on several machines with one storage,
    it makes each of them a worker. Ctrl-C finishes the steps that run and saves them. Page: docs/sweep.md.

    \b
      steerctl sweep experiments/sweeps/quickstart.yaml --dry-run
      steerctl sweep experiments/sweeps/quickstart.yaml --workers 2
      steerctl sweep experiments/sweeps/quickstart.yaml seeds=[1,2,3,4,5] steps=100
      steerctl sweep experiments/sweeps/quickstart.yaml --retry-failed
      steerctl sweep experiments/study/sweep.yaml --only grpo,steer_exact

    Exit codes: 0 all cells are finished, 1 some failed, 2 something you can mend, 130 interrupted.
    """
    from steerctl.cli._sweep_display import cells_table, display, outcome_lines, print_findings, print_outcome
    from steerctl.sweep.command import SweepRequest, check_sweep, look_at, plan_sweep, run_sweep

    names = tuple(name.strip() for name in only.split(",")) if only is not None else ()
    request = SweepRequest(file, tuple(overrides or ()), workers, retry_failed, names)
    agenda = plan_sweep(file, request.overrides, names)
    if dry_run:
        cells_table(agenda, look_at(agenda, workers))
        if print_findings(check_sweep(agenda, None)):
            raise typer.Exit(2)
        return
    if launcher != "here":
        from steerctl.sweep.slurm import submit

        print(*submit(agenda, request, launcher), sep="\n")
        return
    outcome = run_sweep(request, agenda, lambda: display(quiet=quiet))
    print_outcome(outcome)
    raise typer.Exit(outcome_lines(outcome).code)
