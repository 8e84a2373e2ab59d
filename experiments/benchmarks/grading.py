r"""Gradings per second and memory: `math_verify` against math-verify called in a loop, on the same responses.

    python experiments/benchmarks/grading.py --questions ../shared/data/math/steer_bench_clean.jsonl
    python experiments/benchmarks/grading.py --rollouts samples.parquet

Each grader runs in a process of its own, one after the other in one run; the table ends with their ratios. Memory is
the largest sum of resident sizes over the process and its workers, looked at ten times a second. CPU seconds count the
workers too; the wall clock is also other processes'.

    ours  MathVerify with its defaults: one call of `verify` for all responses, two worker processes
    loop  verify(parse("\boxed{gold}"), parse(response)) for one response after the other, default arguments

With --rollouts the responses are those of a file of `steerctl rollout` or of a run folder. Otherwise --samples
responses per question are made up from the reference answers of a file of questions (JSON lines with `id`, `golds`):
prose of 500 to 8,000 characters with formulas in it, and at its end

    60 %  the right answer, a quarter of these in other words (spaces, a full stop, a unit, \dfrac, x = ...)
    25 %  a wrong one: the answer to another question of the same benchmark, or a number changed
     8 %  no box;   5 %  a box that the end cuts off;   2 %  another box before the right one

so that it is known which are right; the table has how often each grader agrees.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import re
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

Response = dict[str, object]
"""id, gold, golds, text and, where it is known, right."""

PROSE = (
    "We first write the condition as an equation and solve it for the unknown. ",
    "Since $n$ is even, we may put $n = 2k$ with $k \\geq 1$, so that $n^2 = 4k^2$. ",
    "By symmetry the second case gives the same value, so it is enough to look at the first. ",
    "This gives \\[ \\frac{a}{b} + \\frac{b}{a} = \\frac{a^2 + b^2}{ab}, \\] which is at least $2$. ",
    "Adding both sides we get $3x + 12 = 27$, therefore $x = 5$, and we check that this is consistent.\n\n",
    "Wait, the denominator must not vanish, so $x \\neq 3$ is excluded. ",
)


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    if options.one is not None:
        print(json.dumps(_measured(options.one, _read(options.responses))))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        responses = Path(folder) / "responses.jsonl"
        count = _write(responses, _saved(options.rollouts) if options.rollouts else _made_up(options))
        print(f"{count:,} responses; Python {platform.python_version()}; {psutil.cpu_count()} cores\n")
        command = [sys.executable, __file__, "--responses", str(responses), "--one"]
        found = {}
        for name in ("ours", "loop"):
            out = subprocess.run([*command, name], check=True, capture_output=True, text=True).stdout
            found[name] = json.loads(out.splitlines()[-1])
            _print_one(name, found[name])
    _print_ratios(found)
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=Path, help="JSON lines with id and golds")
    parser.add_argument("--rollouts", type=Path, help="saved rollouts: .parquet, .jsonl or a run folder")
    parser.add_argument("--samples", type=int, default=1, help="responses per question that are made up")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--one", choices=("ours", "loop"), help=argparse.SUPPRESS)
    parser.add_argument("--responses", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.one is None and (options.questions is None) == (options.rollouts is None):
        parser.error("name either --questions or --rollouts")
    return options


# --- responses ----------------------------------------------------------------------------------------------------


def _saved(path: Path) -> Iterator[Response]:
    from steerctl.store.saved import SavedRollouts  # noqa: PLC0415 (the loop's process does without the package)

    saved = SavedRollouts.open(path)
    for start in range(0, saved.groups, 64):
        for group in saved.block(start, start + 64):
            problem = group.problem
            for rollout in group.rollouts:
                golds = list(problem.info.get("golds") or (problem.gold,))
                yield {"id": problem.id, "gold": problem.gold, "golds": golds, "text": rollout.text}


def _made_up(options: argparse.Namespace) -> Iterator[Response]:
    draw = random.Random(options.seed)
    rows = [json.loads(line) for line in options.questions.read_text(encoding="utf-8").splitlines()]
    golds: dict[str, list[str]] = {}
    for row in rows:
        golds.setdefault(row["id"].partition("/")[0], []).append(row["golds"][0])
    for row in rows:
        gold, others = row["golds"][0], golds[row["id"].partition("/")[0]]
        for _ in range(options.samples):
            end, right = _end(draw, gold, others)
            yield {"id": row["id"], "gold": gold, "golds": row["golds"], "text": _prose(draw) + end, "right": right}


def _prose(draw: random.Random) -> str:
    length, parts = draw.randint(500, 8000), list[str]()
    while sum(map(len, parts)) < length:
        parts.append(draw.choice(PROSE))
    return "".join(parts)


def _end(draw: random.Random, gold: str, others: Sequence[str]) -> tuple[str, bool]:
    share = draw.random()
    if share < 0.60:
        answer = _in_other_words(draw, gold) if share < 0.15 else gold
        return f"So the answer is $\\boxed{{{answer}}}$.", True
    if share < 0.85:
        wrong = _wrong(draw, gold, others)
        return f"So the answer is $\\boxed{{{wrong}}}$.", False
    if share < 0.93:
        return f"So the answer is {gold}, which is what was asked.", False
    if share < 0.98:
        return f"So the answer is $\\boxed{{{gold}"[: -draw.randint(1, 3)], False
    return f"First we find $\\boxed{{{draw.randint(2, 99)}}}$, and then $\\boxed{{{gold}}}$.", True


def _in_other_words(draw: random.Random, gold: str) -> str:
    ways = [f" {gold} ", f"{gold}.", gold.replace("\\frac", "\\dfrac"), f"\\displaystyle {gold}"]
    if re.fullmatch(r"-?\d+(\.\d+)?", gold):
        ways += [
            f"{gold}\\text{{ cm}}",
            f"{gold}~\\mathrm{{cm}}",
            f"x = {gold}",
            f"{gold}^\\circ",
            f"\\frac{{2 \\cdot {gold}}}{{2}}",
        ]
    elif power := re.fullmatch(r"(-?[\d.]+)e([-+]?\d+)", gold):
        ways += [f"{power[1]} \\times 10^{{{int(power[2])}}}"] * 4
    return draw.choice(ways)


def _wrong(draw: random.Random, gold: str, others: Sequence[str]) -> str:
    number = re.search(r"\d+", gold)
    if number and draw.random() < 0.5:
        return f"{gold[: number.start()]}{int(number[0]) + draw.randint(1, 9)}{gold[number.end() :]}"
    different = [other for other in others if other != gold]
    return draw.choice(different) if different else f"{gold} + 1"


def _write(path: Path, responses: Iterator[Response]) -> int:
    count = 0
    with path.open("w", encoding="utf-8") as file:
        for response in responses:
            file.write(json.dumps(response) + "\n")
            count += 1
    return count


def _read(path: Path) -> list[Response]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


# --- graders ------------------------------------------------------------------------------------------------------


def _measured(name: str, responses: list[Response]) -> dict[str, object]:
    """One grader in this process: seconds, peak memory, agreement, counts of what decided."""
    before = _cpu()
    with _peak_memory() as peak:
        begin = time.perf_counter()
        verdicts, notes = _ours(responses) if name == "ours" else _loop(responses)
        wall = time.perf_counter() - begin
    known = [(verdict, one["right"]) for verdict, one in zip(verdicts, responses, strict=True) if "right" in one]
    return {
        "count": len(responses),
        "wall": wall,
        "cpu": _cpu() - before,
        "memory": max(peak),
        "right": sum(verdicts),
        "known": len(known),
        "agree": sum(verdict == truth for verdict, truth in known),
        "missed": sum(truth and not verdict for verdict, truth in known),
        "false": sum(verdict and not truth for verdict, truth in known),
        "notes": notes,
    }


def _ours(responses: list[Response]) -> tuple[list[bool], dict[str, int]]:
    from steerctl.reward.math_verify import MathVerify  # noqa: PLC0415 (each grader pays for its own imports only)
    from steerctl.types import Problem  # noqa: PLC0415

    verifier = MathVerify().open()
    pairs = [
        (Problem(str(one["id"]), (), str(one["gold"]), "", {"golds": one["golds"]}), str(one["text"]))
        for one in responses
    ]
    verdicts = verifier.verify(pairs)
    verifier.close()
    steps = Counter(verdict.why if verdict.status == "ok" else verdict.status for verdict in verdicts)
    return [verdict.value == 1.0 for verdict in verdicts], dict(steps.most_common())


def _loop(responses: list[Response]) -> tuple[list[bool], dict[str, int]]:
    import logging  # noqa: PLC0415

    from math_verify import parse, verify  # noqa: PLC0415

    logging.disable(logging.CRITICAL)
    return [verify(parse(f"\\boxed{{{one['gold']}}}"), parse(str(one["text"]))) for one in responses], {}


@contextmanager
def _peak_memory() -> Iterator[list[int]]:
    """Resident bytes of this process and those it started, while the block runs."""
    found, done, process = [0], threading.Event(), psutil.Process()

    def watch() -> None:
        while not done.wait(0.1):
            sizes = []
            for one in (process, *process.children(recursive=True)):
                try:
                    sizes.append(one.memory_info().rss)
                except psutil.Error:
                    continue  # it has just ended
            found.append(sum(sizes))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        done.set()
        thread.join()
        found.append(process.memory_info().rss)


def _cpu() -> float:
    own, ended = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + ended.ru_utime + ended.ru_stime


# --- the table ----------------------------------------------------------------------------------------------------


def _print_one(name: str, found: dict[str, object]) -> None:
    count, wall, cpu, memory = (float(str(found[key])) for key in ("count", "wall", "cpu", "memory"))
    print(
        f"{name:5} {count / wall:10,.0f} gradings/s ({wall:.1f} s)   {count / cpu:8,.0f} per CPU second"
        f"   {memory / 2**20:6,.0f} MiB"
    )
    if found["known"]:
        errors = f"{found['missed']} right ones missed, {found['false']} wrong ones passed"
        print(f"      agrees on {found['agree']:,} of {found['known']:,}: {errors}")
    if found["notes"]:
        print(f"      decided by {json.dumps(found['notes'])}")


def _print_ratios(found: dict[str, dict[str, object]]) -> None:
    ours, loop = found["ours"], found["loop"]
    wall, cpu, memory = (float(str(loop[key])) / float(str(ours[key])) for key in ("wall", "cpu", "memory"))
    print(f"\nours is {wall:.1f} times as fast by the wall clock, {cpu:.1f} times per CPU second;", end=" ")
    print(f"it needs {1 / memory:.2f} times the memory (its workers included)")


if __name__ == "__main__":
    raise SystemExit(main())
