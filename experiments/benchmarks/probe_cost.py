"""What `analysis.probe` adds to a training run: paired ratios in one process.

    python experiments/benchmarks/probe_cost.py
    python experiments/benchmarks/probe_cost.py --model runs/quickstart-grpo/model --rounds 20

Steps of the quickstart (its policy, sampling and judging included, validation and checkpoints not), the learning rate
so small that every step is like the one before. A round is one step without a probe and one in which *every* update is
looked at, in alternating order; what a probe costs is their difference over the updates of a step. That is several
times what is asked about, so that it shows on a busy machine too; the ratio that follows is of a run in which every
`--every`-th update is looked at:

    ratio = 1 + (with − without)/(updates · every) · updates/without,  and likewise for the token table that is written

CPU seconds of the process count, since wall-clock time is also other processes'; the wall clock's ratio is beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from intervention_cost import Timing, interval, timed

if TYPE_CHECKING:
    from steerctl.run.build import Session
    from steerctl.run.step import StepOutcome

QUICKSTART = Path(__file__).parents[1] / "quickstart" / "grpo.yaml"
LIMIT = 1.05


@dataclass(frozen=True)
class Round:
    """A step without, a step with every update looked at, and the table of one update's tokens written."""

    without: Timing
    watched: Timing
    table: Timing

    def ratio(self, clock: str, every: int) -> float:
        """Of a run with a probe at every `every`-th update to one without; clock: cpu or wall."""
        without, watched, table = (getattr(each, clock) for each in (self.without, self.watched, self.table))
        return 1 + (watched - without) / every / without + self.updates * table / every / without

    updates: int = 4


def open_session(options: argparse.Namespace) -> Session:
    from steerctl.engine.environment import prepare_single  # noqa: PLC0415 (after the thread count is set)
    from steerctl.run.build import build  # noqa: PLC0415
    from steerctl.run.reporter import Everyone  # noqa: PLC0415
    from steerctl.spec.load import load_spec  # noqa: PLC0415

    probe = {"positions": options.positions, "sequences": options.sequences, "every": 1}
    if options.influence:
        probe["influence"] = True
    overrides = ["validate_every=0", "optim.lr=1e-9", f"analysis.probe={json.dumps(probe)}", *options.overrides]
    if options.model is not None:
        overrides.append(f"policy.model={json.dumps(str(options.model))}")
    prepare_single()
    session = build(load_spec(QUICKSTART, overrides).spec, Everyone())
    session.parts.generator.load_weights(session.policy.weights(), 0)
    return session


def one_round(session: Session, step: int, folder: Path, *, watched_first: bool) -> Round:
    from steerctl.analysis.table import joined, token_table  # noqa: PLC0415
    from steerctl.run.probe import NoProbe  # noqa: PLC0415
    from steerctl.run.step import run_step  # noqa: PLC0415
    from steerctl.store.tokens import keep_tokens  # noqa: PLC0415

    kept: list[StepOutcome] = []
    cursor = step * session.spec.rollout.problems_per_step
    parts = {"without": replace(session.parts, probe=NoProbe()), "watched": session.parts}
    order = sorted(parts, reverse=not watched_first, key=lambda name: name == "without")
    found = {name: timed(lambda name=name: kept.append(run_step(parts[name], step, cursor))) for name in order}
    outcome = next(each for each in kept if each.probed)

    def write() -> None:
        keep_tokens(folder, step, token_table(joined(outcome.probed[:1]), step, outcome.groups, session.text))

    return Round(**found, table=timed(write), updates=session.spec.optim.updates_per_step)


def report(rounds: Sequence[Round], tokens: int, options: argparse.Namespace) -> bool:
    print(
        f"{options.positions} positions of {options.sequences} responses, every {options.every} updates; step of "
        f"{tokens} trained tokens, {len(rounds)} rounds, load {os.getloadavg()[0]:.1f}"
    )
    for clock in ("cpu", "wall"):
        ratios = [each.ratio(clock, options.every) for each in rounds]
        low, high = interval(ratios)
        without, watched, table = (
            statistics.median(getattr(getattr(each, name), clock) for each in rounds)
            for name in ("without", "watched", "table")
        )
        print(
            f"{clock:5} step {without:.3f} s, with every update looked at {watched:.3f} s, table {table:.4f} s: ratio "
            f"{statistics.median(ratios):.4f}, 95% interval {low:.4f} to {high:.4f}"
        )
    return statistics.median(each.ratio("cpu", options.every) for each in rounds) <= LIMIT


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--positions", type=int, default=512)
    parser.add_argument("--sequences", type=int, default=64)
    parser.add_argument("--every", type=int, default=10)
    parser.add_argument("--influence", action="store_true")
    parser.add_argument("--model", type=Path, help="another policy than the embedded one")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=12, help="six at least, for an interval of 95%%")
    parser.add_argument("overrides", nargs="*", help="of the experiment, e.g. engine.zero_stage=0")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    session = open_session(options)
    with tempfile.TemporaryDirectory() as folder:
        one_round(session, 0, Path(folder), watched_first=True)  # first use of everything
        rounds = []
        for index in range(options.rounds):
            rounds.append(one_round(session, 1, Path(folder), watched_first=index % 2 == 0))
            last = rounds[-1]
            print(f"{last.without.cpu:.3f} {last.watched.cpu:.3f} {last.table.cpu:.4f}", file=sys.stderr, flush=True)
        tokens = _tokens(session)
    session.close()
    return 0 if report(rounds, tokens, options) else 1


def _tokens(session: Session) -> int:
    groups = session.parts.collector.collect(1, session.spec.rollout.problems_per_step).groups
    return sum(len(rollout.token_ids_T) for group in groups for rollout in group.rollouts)


if __name__ == "__main__":
    raise SystemExit(main())
