"""`steerctl check`: is this experiment right, and will it do what it says?"""

from __future__ import annotations

from typing import Annotated

import typer


def check(
    experiments: Annotated[
        list[str],
        typer.Argument(metavar="EXP.yaml|KEY=VALUE", help="Experiment files, and overrides such as optim.lr=2e-6."),
    ],
    json: Annotated[bool, typer.Option("--json", help="One JSON object per file, for scripts.")] = False,
    brief: Annotated[bool, typer.Option("--brief", help="Only errors and warnings, and one line per file.")] = False,
    elsewhere: Annotated[
        bool, typer.Option("--elsewhere", help="It will run on another machine: leave out files, devices and cores.")
    ] = False,
) -> None:
    r"""Validate an experiment, or a sweep, and say what will hurt later.

    Nothing is started. The experiment is printed with every default written out, then what was found. Of a sweep, what
    was found in any of its experiments, and in comparing them.

    \b
      steerctl check experiments/quickstart/steer.yaml
      steerctl check my.yaml rollout.group_size=16 algorithm.interventions.0.weight_min=0.6
      steerctl check --brief experiments/paper/*.yaml

    Exit code 2 if anything is an error; warnings and notes do not change it.
    """
    from steerctl.cli._present import present
    from steerctl.cli._present_sweep import check_sweep_file
    from steerctl.spec.checks import check_spec
    from steerctl.spec.load import load_spec
    from steerctl.spec.machine import Machine
    from steerctl.sweep.load import is_sweep

    overrides = [text for text in experiments if "=" in text]
    files = [text for text in experiments if "=" not in text]
    if not files:
        raise typer.BadParameter("name an experiment file before the overrides")
    machine = None if elsewhere else Machine.here()
    wrong = False
    for file in files:
        if is_sweep(file):
            wrong |= check_sweep_file(file, overrides, machine, json=json, brief=brief)
            continue
        loaded = load_spec(file, overrides)
        findings = check_spec(loaded.spec, machine)
        present(file, loaded, findings, json=json, brief=brief)
        wrong |= any(finding.level == "error" for finding in findings)
    if wrong:
        raise typer.Exit(2)
