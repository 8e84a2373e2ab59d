"""What an experiment reads and writes, looked at without reading or writing it."""

from __future__ import annotations

import os
from pathlib import Path

from steerctl.spec.benchmarks import missing_files
from steerctl.spec.experiment import ExperimentSpec
from steerctl.spec.finding import Finding, Findings
from steerctl.spec.machine import Machine
from steerctl.spec.problem_count import most_problems


def enough_problems(spec: ExperimentSpec, machine: Machine | None) -> Findings:
    """A step that asks for more problems than there are asks some twice."""
    found = most_problems(spec.data.train, look=machine is not None)
    if found is not None and found < spec.rollout.problems_per_step:
        text = f"{spec.rollout.problems_per_step} are asked in one step, data.train has {found} at most: some are asked"
        yield Finding("warning", "rollout.problems_per_step", f"{text} more than once in the same step")


def output_folder(spec: ExperimentSpec, machine: Machine | None) -> Findings:
    """The run folder can be made; nothing is made."""
    if machine is None:
        return
    folder = Path(spec.output) / spec.name
    try:
        known = next(each for each in (folder, *folder.absolute().parents) if os.path.lexists(each))
        longest = max(len(os.fsencode(part)) for part in folder.parts)
        limit = os.pathconf(known if known.is_dir() else known.parent, "PC_NAME_MAX") - len(".tmp-1234567-.new")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        yield Finding("error", "output", f"{folder} cannot be a run folder: {reason.lower()}; choose another")
        return
    if known.is_symlink() and not known.exists():
        yield Finding("error", "output", f"{known} is a link to nothing; mend it, or choose another output")
    elif not known.is_dir() and known != folder:
        yield Finding("error", "output", f"{known} is a file, so {folder} cannot be made in it; choose another output")
    elif longest > limit:
        yield Finding("error", "output", f"a name in {folder} is longer than the {limit} characters there is room for")
    elif not os.access(known, os.W_OK | os.X_OK):
        yield Finding("error", "output", f"{known} may not be written to; change its permissions, or choose another")


def files_exist(spec: ExperimentSpec, machine: Machine | None) -> Findings:
    """Problem files and the hostfile."""
    if machine is None:
        return
    parts = {"data.train": spec.data.train, "data.validation": spec.data.validation}
    for path, dataset in parts.items():
        for name in dataset.missing_files() if dataset is not None else ():
            yield Finding("error", path, f"no such file: {name} (looked for from {Path.cwd()})")
    for benchmark, names in missing_files(spec.evaluation).items() if spec.evaluation is not None else ():
        yield Finding("error", "evaluation.folder", f"no files for {benchmark}: {', '.join(names)}")
    if spec.engine.hostfile is not None and not Path(spec.engine.hostfile).is_file():
        yield Finding("error", "engine.hostfile", f"no such file: {spec.engine.hostfile}")
