"""`steerctl eval`: benchmarks, with error bars; and two or more evaluations side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperGroup

DEFAULT = "run"
GRADERS = {
    "steer-train": "dapo_strict",
    "steer-eval": "steer_eval",
    "math-verify": "math_verify_default",
    "strict": "strict",
}
"""Names of protocols, and the kinds of judge that they are."""


class _RunsByDefault(TyperGroup):
    """`steerctl eval --model X` is `steerctl eval run --model X`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 (typer has a click of its own)
        return super().parse_args(ctx, args if args and args[0] in self.commands else [DEFAULT, *args])


Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="KEY=VALUE", help="Of the experiment, such as rollout.generator.kind=vllm."),
]
Model = Annotated[
    str | None, typer.Option(metavar="PATH_OR_RUN", help="tiny, a model folder, a Hugging Face id, or a run.")
]
Suite = Annotated[
    str | None, typer.Option(metavar="NAME,...", help="math (the default), code, all, or names of benchmarks.")
]
Samples = Annotated[
    int | None, typer.Option(metavar="K", min=1, help="Responses to each question; the preset's if not given.")
]
Preset = Annotated[
    Literal["steer", "dapo", "qwen-math", "r1"] | None, typer.Option(help="Whose protocol: prompt and sampling.")
]
Grader = Annotated[
    Literal["steer-train", "steer-eval", "math-verify", "strict"] | None,
    typer.Option(help="Judge mathematics as another code does, to reproduce it; ours if not given."),
]
Data = Annotated[
    Path | None, typer.Option(metavar="FOLDER", help="Files of the benchmarks; the Hugging Face hub if not given.")
]
Out = Annotated[
    Path | None, typer.Option(metavar="DIR", help="evaluations/MODEL-SUITE, or in the run folder, if not given.")
]
Saved = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Judge responses that were saved instead of sampling.")
]
TrainData = Annotated[
    str | None, typer.Option(metavar="FILE", help="Flag the questions that are in this training file.")
]
Exclude = Annotated[
    Literal["exact", "normalised", "same", "similar"] | None,
    typer.Option(help="Leave questions out that are as like a training row as this."),
]
Unsafe = Annotated[
    bool, typer.Option("--unsafe-local-exec", help="Run code without a sandbox where none holds; never as root.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an evaluation that is there already.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print only the tables.")]

app = typer.Typer(cls=_RunsByDefault, help="Measure a model on benchmarks, and compare such measurements.")


@app.command(DEFAULT)
def run_evaluation(
    overrides: Overrides = None,
    *,
    model: Model = None,
    suite: Suite = None,
    samples: Samples = None,
    preset: Preset = None,
    grader: Grader = None,
    data: Data = None,
    out: Out = None,
    from_rollouts: Saved = None,
    train_data: TrainData = None,
    exclude_overlaps: Exclude = None,
    unsafe_local_exec: Unsafe = False,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    r"""Measure a model on benchmarks: accuracy, pass@k and maj@k with both kinds of error bar.

    The same command goes on where it was stopped, however it was stopped, and ends with the same result. `steerctl eval
    compare A B` puts results side by side. Benchmarks, files, result: docs/evaluation.md.

    \b
      steerctl eval --model tiny --suite arithmetic
      steerctl eval --model runs/grpo --suite math --data benchmarks
      steerctl eval --model Qwen/Qwen2.5-Math-1.5B --suite aime24,amc23 --samples 64 rollout.generator.kind=vllm
      steerctl eval --from-rollouts samples.parquet --suite math500 --data benchmarks
      steerctl eval compare evaluations/grpo-math evaluations/steer-math
    """
    from rich.console import Console

    from steerctl.cli._sampling import sampling_display
    from steerctl.report.evaluation import footnotes, result_tables
    from steerctl.run.evaluate import evaluate
    from steerctl.run.evaluate_plan import EvaluationRequest, make_evaluation

    given: dict[str, Any] = {"suite": suite, "samples": samples, "preset": preset, "folder": data and str(data)}
    if grader is not None:
        given["verifier"] = {"kind": GRADERS[grader]}
    if unsafe_local_exec:
        given["unsafe_local_exec"] = True
    request = EvaluationRequest(
        model=model,
        settings={key: value for key, value in given.items() if value is not None},
        overrides=tuple(overrides or ()),
        from_rollouts=from_rollouts,
        out=out,
        train_data=train_data,
        exclude_overlaps=exclude_overlaps,
    )
    evaluation = make_evaluation(request)
    result = evaluate(evaluation, lambda: sampling_display(quiet=quiet), overwrite=overwrite)
    console = Console(highlight=False)
    for table in result_tables(result):
        console.print(table, "")
    console.print(
        "", *footnotes(result), f"result: {evaluation.out}", sep="\n", style="dim", markup=False, soft_wrap=True
    )


@app.command("compare")
def compare_evaluations(
    evaluations: Annotated[
        list[Path], typer.Argument(metavar="DIR", help="Folders of evaluations; all are compared with the first.")
    ],
    form: Annotated[Literal["table", "json"], typer.Option("--format", help="Output.")] = "table",
) -> None:
    """Put evaluations side by side: paired differences, tests, and what the tests could have seen.

    Only questions that were asked alike are compared: other questions or prompts are refused.
    """
    from steerctl.cli._versus import as_json, show
    from steerctl.evaluation.versus import versus

    found = versus(evaluations)
    if form == "json":
        print(as_json(found))
    else:
        show(found)
