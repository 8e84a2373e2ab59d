"""Checks per second in each tier, how they scale with workers, and whether every reference solution passes.

    python experiments/benchmarks/sandbox.py FOLDER [--references]

FOLDER holds HumanEvalPlus.jsonl.gz, MbppPlus.jsonl.gz and LeetCodeDataset-v0.3.1-test.jsonl.gz. A check is a HumanEval
reference solution against HumanEval's own inputs. Processor time is that of the workers and of this process together:
on a busy machine it says what wall clock does not.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

from steerctl.data import Dataset
from steerctl.data.human_eval import HumanEval
from steerctl.data.leet_code import LeetCode
from steerctl.data.mbpp import Mbpp
from steerctl.errors import UserError
from steerctl.reward.code import Code
from steerctl.reward.sandbox.pool import cores
from steerctl.reward.sandbox.probe import TIERS, probe
from steerctl.types import Problem

ROUNDS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--references", action="store_true", help="also run every reference solution in full; minutes")
    given = parser.parse_args()
    print(f"tiers: {dict(probe().findings)}")
    problems = HumanEval(path=str(given.folder / "HumanEvalPlus.jsonl.gz"), tests="base").load().problems
    for tier in TIERS:
        for workers in dict.fromkeys((1, min(2, cores()), cores())):
            try:
                print(f"{tier}, {workers} workers: {rate(problems, tier, workers)}", flush=True)
            except UserError as error:
                print(error)
    if given.references:
        for data in data_sets(given.folder):
            print(references(data), flush=True)


def rate(problems: Sequence[Problem], tier: str, workers: int) -> str:
    verifier = Code.model_validate({"tier": tier, "workers": workers}).open()
    verifier.check_golds(problems)
    asked = [(each, f"```python\n{each.gold}\n```") for each in problems]
    verifier.verify(asked)
    used, began = processor_seconds(verifier.pool.pids()), time.perf_counter()
    for _ in range(ROUNDS):
        verifier.verify(asked)
    wall = time.perf_counter() - began
    used = processor_seconds(verifier.pool.pids()) - used
    verifier.close()
    checks = ROUNDS * len(asked)
    return f"{checks / wall:.0f} checks/s of wall clock, {checks / used:.0f} per second of processor time"


def processor_seconds(workers: Sequence[int]) -> float:
    """Of this process, the workers, and what they have reaped."""
    times = [psutil.Process().cpu_times()]
    for pid in workers:
        worker = psutil.Process(pid)
        times += [each.cpu_times() for each in (worker, *worker.children(recursive=True))]
    own = times[0].user + times[0].system
    return own + sum(each.user + each.system + each.children_user + each.children_system for each in times[1:])


def data_sets(folder: Path) -> list[Dataset]:
    return [
        HumanEval(path=str(folder / "HumanEvalPlus.jsonl.gz")),
        Mbpp(path=str(folder / "MbppPlus.jsonl.gz"), keep_broken=True),
        LeetCode(path=str(folder / "LeetCodeDataset-v0.3.1-test.jsonl.gz"), keep_broken=True),
    ]


def references(data: Dataset) -> str:
    problems = data.load().problems
    verifier = Code().open()
    began = time.perf_counter()
    failures = verifier.failures(problems)
    verifier.close()
    named = "".join(f"\n    {each.problem_id}: {each.why}" for each in failures)
    passed = len(problems) - len(failures)
    return f"{data.kind}: {passed} of {len(problems)} references pass, {time.perf_counter() - began:.0f} s{named}"


if __name__ == "__main__":
    main()
