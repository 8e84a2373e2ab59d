"""`steerctl train`: run an experiment, or go on with one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def train(
    experiment: Annotated[str | None, typer.Argument(metavar="EXP.yaml", help="The experiment.")] = None,
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Changes to it, such as optim.lr=2e-6.")
    ] = None,
    *,
    resume: Annotated[Path | None, typer.Option(metavar="RUN", help="Go on with this run folder.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing run of the same name.")] = False,
    from_rollouts: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE|RUN", help="Replay saved rollouts (of `steerctl rollout`, or of a run); no sampling."
        ),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print only how it ended.")] = False,
) -> None:
    r"""Train a policy and record what happens to its entropy.

    The run folder is OUTPUT/NAME (runs/NAME unless the experiment says otherwise). Ctrl-C finishes the step and saves
    it; a second Ctrl-C abandons the step.

    \b
      steerctl train experiments/quickstart/steer.yaml
      steerctl train experiments/quickstart/grpo.yaml steps=50 seed=2 name=grpo-seed2
      steerctl train --resume runs/grpo-seed2
      steerctl train --resume runs/grpo-seed2 steps=100
      steerctl train experiments/quickstart/steer.yaml --from-rollouts runs/grpo-seed2 name=replayed
    """
    from steerctl.run.interrupt import at_start

    with at_start():  # before the seconds of import below
        from steerctl.cli._display import display
        from steerctl.run.experiment import TrainRequest, run_experiment

        request = TrainRequest(experiment, tuple(overrides or ()), resume, overwrite, from_rollouts)
        code = run_experiment(request, lambda: display(quiet=quiet))
    raise typer.Exit(code)
