"""`steerctl rollout`: sample and judge without training, into one file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer


def rollout(
    experiment: Annotated[str, typer.Argument(metavar="EXP.yaml", help="The experiment: policy, data, sampling.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Changes to it, such as rollout.group_size=4.")
    ] = None,
    *,
    model: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Sample from this model folder, or a run's exported policy.")
    ] = None,
    num_problems: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Problems asked; each once if not given.")
    ] = None,
    split: Annotated[Literal["train", "validation"], typer.Option(help="data.train or data.validation.")] = "train",
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help=".parquet or .jsonl; OUTPUT/NAME-SPLIT.parquet if not given.")
    ] = None,
    entropies: Annotated[
        bool, typer.Option("--entropies", help="Add the policy's log-probability and entropy at every token.")
    ] = False,
    chunk: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Problems sampled at a time; a kill loses at most these.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace rollouts that are there already.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print only the summary.")] = False,
) -> None:
    r"""Sample responses, judge them, and keep them in one file.

    The same command goes on where it was stopped, however it was stopped; when the file is complete it samples nothing
    and prints the summary again. Columns: docs/rollouts.md.

    \b
      steerctl rollout experiments/quickstart/grpo.yaml --num-problems 64 --entropies
      steerctl rollout experiments/quickstart/grpo.yaml --model runs/quickstart-grpo --split validation
      steerctl rollout exp.yaml rollout.generator.kind=vllm rollout.group_size=16 --out samples.jsonl
      steerctl train exp.yaml --from-rollouts samples.jsonl
    """
    from rich.console import Console

    from steerctl.cli._sampling import sampling_display
    from steerctl.report.rollouts import summarise, summary_table
    from steerctl.run.rollout import sample_rollouts
    from steerctl.run.rollout_plan import RolloutRequest

    request = RolloutRequest(
        experiment=experiment,
        overrides=tuple(overrides or ()),
        model=model,
        num_problems=num_problems,
        split=split,
        out=out,
        overwrite=overwrite,
        entropies=entropies,
        chunk=chunk,
    )
    path = sample_rollouts(request, lambda: sampling_display(quiet=quiet))
    Console(highlight=False).print(summary_table(summarise(path)))
