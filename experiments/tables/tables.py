"""The paper's Tables 3, 4, 5, 6 and 12 and Figures 12 and 17: their cells are run, then they are written.

    python -m experiments.tables.tables table3              # runs or resumes what is missing; SCALE=paper for the 7B
    python -m experiments.tables.tables table3 fig12        # several; cells that they share are run once
    python -m experiments.tables.tables table3 --drawn      # runs nothing; writes what is there

At tiny scale table 3, table 6 and both figures are views of experiments/study, tables 4, 12 and 5 have sweeps here; at
paper scale all have sweeps in experiments/paper. `steerctl sweep` runs the cells, shows progress and the time left,
and runs no cell twice, whichever target asked first. Results are NAME.csv, NAME.md, NAME.tex (NAME.svg) in this
folder, of another scale than tiny in a folder of its name.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from pathlib import Path

from experiments.figures import studies
from experiments.figures.studies import ROOT, Scale
from experiments.tables.figures import draw
from experiments.tables.plans import PLANS, SIZES, Part, Plan
from experiments.tables.reading import read_cells
from experiments.tables.writing import sentence, table_of, write_table
from experiments.token_changes import policies
from steerctl.errors import UserError
from steerctl.sweep.command import plan_sweep

HERE = Path(__file__).resolve().parent
POLICIES = studies.RUNS / "policies"
CODE = "experiments/tables/code.yaml"
SHARED = "STEERCTL_SHARED_DATA"
SOME_FAILED = 1


def data_folder() -> Path | None:
    """Where code/ and math/ are: STEERCTL_SHARED_DATA, data, or shared/data beside the repository."""
    named = os.environ.get(SHARED)
    places = [Path(named)] if named else [ROOT / "data", ROOT.parent / "shared" / "data"]
    return next((each for each in places if (each / "code").is_dir()), None)


def overrides_of(part: Part) -> list[str]:
    """Where the programs' files are, if not in `data`. Raises SystemExit if there are none."""
    if part.sweep != CODE:
        return []
    found = data_folder()
    if found is None:
        raise SystemExit(
            f"table5 needs code/mbpp.jsonl, code/MbppPlus.jsonl.gz, code/HumanEvalPlus.jsonl.gz and "
            f"code/LeetCodeDataset-v0.3.1-test.jsonl.gz in a folder `data`, or name one: {SHARED}=FOLDER"
        )
    if found == ROOT / "data":
        return []
    folder = os.path.relpath(found, ROOT)
    files = {"path": "mbpp.jsonl", "without": "MbppPlus.jsonl.gz"}
    sets = ("train", "validation")
    paths = [f"data.{each}.{key}={folder}/code/{name}" for each in sets for key, name in files.items()]
    return [*paths, f"evaluation.folder={folder}"]


def run_cells(part: Part, workers: int | None) -> int:
    """`steerctl sweep` of the part's variants -> its exit code; what stops us is passed on, and the sweep obeys."""
    if part.sweep == SIZES:
        policies.build_missing(POLICIES, (policies.MIDDLE, "large"))
    command = [sys.executable, "-m", "steerctl", "sweep", part.sweep, *overrides_of(part)]
    command += ["--only", ",".join(part.variants), *(["--workers", str(workers)] if workers else [])]
    with subprocess.Popen(command, cwd=ROOT) as process:
        signal.signal(signal.SIGTERM, lambda *_: process.terminate())
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:  # the terminal has told the sweep as well
                continue


def write(plan: Plan, scale: Scale, out: Path) -> str:
    """A target's files from what is finished -> its sentence."""
    part = plan.parts[scale]
    agenda = plan_sweep(str(ROOT / part.sweep), overrides_of(part), part.variants)
    table = table_of(plan, scale, read_cells(agenda, part.variants))
    out.mkdir(parents=True, exist_ok=True)
    shown = write_table(table, out)
    if plan.name.startswith("fig"):
        draw(table, out)
    said = sentence(table)
    studies.write_result(out, plan.name, f"{said}\n", shown=f"{said}\n\n{shown}".strip())
    return said


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(PLANS)}; all if none is named")
    parser.add_argument("--drawn", action="store_true", help="run nothing; write what is there")
    parser.add_argument("--workers", type=int, metavar="N", help="cells at a time; as many as fit")
    parser.add_argument("--out", type=Path, help="folder of the results")
    options, scale = parser.parse_args(), studies.scale_asked()
    asked = options.targets or list(PLANS)
    if unknown := set(asked) - set(PLANS):
        parser.error(f"no such target here: {', '.join(sorted(unknown))}")
    os.chdir(ROOT)
    out: Path = options.out or (HERE if scale == "tiny" else HERE / scale)
    worst = 0
    for name in asked:
        plan = PLANS[name]
        code = 0 if options.drawn else run_cells(plan.parts[scale], options.workers)
        if code not in (0, SOME_FAILED):
            return code
        worst = max(worst, code)
        print(f"{name}: {write(plan, scale, out)}", flush=True)
    return worst


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UserError as error:
        sys.exit(str(error))
