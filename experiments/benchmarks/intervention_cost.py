"""What entropy statistics and an intervention add to a training step: paired ratios against plain GRPO in one process.

    python experiments/benchmarks/intervention_cost.py --hidden 896 --layers 4 --problems 2 --response 32 --updates 1
    python experiments/benchmarks/intervention_cost.py --hidden 128 --layers 3 --vocab 264 --problems 16 --rounds 40

A training step here is run/step.py's `run_step` on responses that are there already: old statistics, updates,
push. Sampling and judging are left out, which makes every ratio larger than it is in a run. Qwen2-shaped, fresh
weights, one rank, float32; fewer layers than the real model give the head, and so the statistics, more weight.

    plain       GRPO with log-probabilities alone: the streaming pass keeps one sum instead of four
    statistics  GRPO as it always runs here: H, S̄ and Σπ² from the same pass, all that the `exact` form needs
    step        the same with `steer` on the exact form, scope step: read from the old statistics
    update      the same with scope update, the default: one more forward pass before every update but the first

Each round runs all of them, in rotating order, so that no one is always first; the ratio is taken within a round. CPU
seconds of the process count, since wall-clock time is also other processes'; the wall clock's ratio is printed beside.

On a busy machine one step's CPU seconds vary by more than the difference. So a second estimate: steps in which tiles of
logits take turns, one with all four sums, the next with one; the ratio is the step's time with the one kind of tile
everywhere over that with the other, medians over the tiles.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from steerctl.run.step import Parts

VARIANTS = ("plain", "statistics", "step", "update")
LIMIT = 1.03


@dataclass(frozen=True)
class Timing:
    """One training step."""

    cpu: float
    wall: float


Fold = Callable[["torch.Tensor", "torch.Tensor", "torch.Tensor", "torch.Tensor"], None]


@contextmanager
def folding_by(change: Callable[[Fold], Fold]) -> Iterator[None]:
    """The streaming pass with another way to add a tile to the sums."""
    from steerctl.entropy import tiles  # noqa: PLC0415 (after the thread count is set)

    whole = tiles._fold  # noqa: SLF001 (the one place where the sums are made)
    tiles._fold = change(whole)  # noqa: SLF001
    try:
        yield
    finally:
        tiles._fold = whole  # noqa: SLF001


def one_sum(_: Fold) -> Fold:
    """The mass alone, which is all that a log-probability needs."""

    def fold(logits_RC: torch.Tensor, _: torch.Tensor, shift_R: torch.Tensor, sums_4R: torch.Tensor) -> None:
        new_shift_R = logits_RC.amax(dim=1).maximum(shift_R)
        sums_4R[0].mul_((shift_R - new_shift_R).exp_())
        shift_R.copy_(new_shift_R)
        sums_4R[0].add_(logits_RC.sub_(new_shift_R[:, None]).exp_().sum(dim=1))

    return fold


class Alternating:
    """Even tiles with all four sums, odd ones with the mass alone; the CPU seconds of both."""

    def __init__(self) -> None:
        self.seconds: tuple[list[float], list[float]] = ([], [])

    def __call__(self, whole: Fold) -> Fold:
        """The fold that takes turns."""
        ways = (whole, one_sum(whole))

        def fold(*tensors: torch.Tensor) -> None:
            turn = len(self.seconds[0]) > len(self.seconds[1])
            start = time.process_time()
            ways[turn](*tensors)
            self.seconds[turn].append(time.process_time() - start)

        return fold


def tile_by_tile(parts: Parts) -> float:
    """Ratio of the step with all sums to that without, from one step whose tiles take turns; medians over the tiles."""
    turns = Alternating()
    with folding_by(turns):
        total = run_variant("statistics", parts).cpu
    four, one = (statistics.median(each) for each in turns.seconds)
    count = len(turns.seconds[0]) + len(turns.seconds[1])
    spent = sum(turns.seconds[0]) + sum(turns.seconds[1])
    rest = total - spent
    return (rest + count * four) / (rest + count * one)


def make_parts(options: argparse.Namespace, folder: Path) -> Parts:
    """A step's parts: the real policy, responses made beforehand, a generator that takes the weights and is done."""
    from steerctl.advantage.grpo import Grpo  # noqa: PLC0415
    from steerctl.engine.environment import prepare_single  # noqa: PLC0415
    from steerctl.engine.policy import DeepSpeedPolicy  # noqa: PLC0415
    from steerctl.loss.ppo_clip import PpoClip  # noqa: PLC0415
    from steerctl.run.step import Parts  # noqa: PLC0415
    from steerctl.spec.experiment import EngineSpec, OptimSpec, PolicySpec  # noqa: PLC0415

    (folder / "config.json").write_text(json.dumps(architecture(options)))
    prepare_single()
    policy = DeepSpeedPolicy(
        PolicySpec(model=str(folder), random_weights=True),
        OptimSpec(lr=1e-9),
        EngineSpec(device="cpu", threads_per_rank=options.threads, zero_stage=options.zero_stage),
        temperature=1.0,
        seed=1,
    )
    return Parts(
        collector=Fixed(options),
        policy=policy,
        generator=Discard(),
        advantage=Grpo(),
        surrogate=PpoClip(),
        reduction="token_mean",
        constant_norm_length=options.response,
        interventions=[],
        updates_per_step=options.updates,
        micro_batch_tokens=options.micro_batch_tokens,
        device="cpu",
        entropy_after_every=0,
    )


def architecture(options: argparse.Namespace) -> dict[str, object]:
    """Qwen2.5-0.5B's proportions."""
    head = 64 if options.hidden % 64 == 0 and options.hidden >= 256 else 32
    return {
        "architectures": ["Qwen2ForCausalLM"],
        "model_type": "qwen2",
        "hidden_size": options.hidden,
        "intermediate_size": round(options.hidden * 4864 / 896),
        "num_hidden_layers": options.layers,
        "num_attention_heads": options.hidden // head,
        "num_key_value_heads": 2,
        "vocab_size": options.vocab,
        "tie_word_embeddings": True,
        "max_position_embeddings": 4096,
    }


class Fixed:
    """Random responses of one length to random prompts, half of them right; the same in every step."""

    def __init__(self, options: argparse.Namespace) -> None:
        import numpy as np  # noqa: PLC0415

        from steerctl.rollout.collect import Collected  # noqa: PLC0415
        from steerctl.types import Message, Problem, Rollout, RolloutGroup, Verdict  # noqa: PLC0415

        rng = np.random.default_rng(0)
        logprobs_T = np.full(options.response, -math.log(options.vocab), dtype=np.float32)

        def group(index: int) -> RolloutGroup:
            ids_GT = rng.integers(options.vocab, size=(4, options.response), dtype=np.int32)
            rewards = (1.0, 0.0, 1.0, 0.0)
            return RolloutGroup(
                problem=Problem(f"p{index}", (Message("user", "?"),), "1", "random"),
                prompt_ids=tuple(rng.integers(options.vocab, size=options.prompt).tolist()),
                rollouts=tuple(Rollout(ids_T, logprobs_T, "", "length", 0, 0) for ids_T in ids_GT),
                verdicts=tuple(Verdict(value, None, "") for value in rewards),
                rewards_G=rewards,
            )

        self._collected = Collected(tuple(group(index) for index in range(options.problems)), 0, options.problems, 0)

    def collect(self, step: int, cursor: int) -> object:  # noqa: ARG002 (always the same)
        """The groups."""
        return self._collected


class Discard:
    """Reads the weights, as a push does."""

    def load_weights(self, weights: Iterator[object], version: int) -> None:  # noqa: ARG002
        """Exhaust the iterator."""
        for _ in weights:
            pass


def timed(action: Callable[[], object]) -> Timing:
    cpu, wall = time.process_time(), time.perf_counter()
    action()
    return Timing(time.process_time() - cpu, time.perf_counter() - wall)


def run_variant(name: str, parts: Parts) -> Timing:
    from steerctl.intervention.steer import Steer  # noqa: PLC0415
    from steerctl.run.step import run_step  # noqa: PLC0415

    if name == "plain":
        with folding_by(one_sum):
            return timed(lambda: run_step(parts, 0, 0))
    steer = [] if name == "statistics" else [Steer(estimator="exact", scope=name)]
    return timed(lambda: run_step(replace(parts, interventions=steer), 0, 0))


def report(rounds: Sequence[dict[str, Timing]], options: argparse.Namespace) -> bool:
    import torch  # noqa: PLC0415

    tokens = options.problems * 4 * options.response
    print(
        f"hidden {options.hidden}, {options.layers} layers, vocabulary {options.vocab}, {tokens} trained tokens in "
        f"{options.updates} updates, {options.threads} thread(s), {len(rounds)} rounds; torch {torch.__version__}, "
        f"Python {platform.python_version()}, load {os.getloadavg()[0]:.1f}"
    )
    print(f"{'variant':12}{'CPU s':>8}{'ratio':>9}{'95% interval':>18}{'middle half':>18}{'wall ratio':>12}")
    for name in (name for name in VARIANTS if name in rounds[0]):
        cpu = [each[name].cpu / each["plain"].cpu for each in rounds]
        wall = statistics.median(each[name].wall / each["plain"].wall for each in rounds)
        low, high = interval(cpu)
        first, _, third = statistics.quantiles(cpu, n=4)
        print(
            f"{name:12}{statistics.median(each[name].cpu for each in rounds):8.3f}{statistics.median(cpu):9.4f}"
            f"{f'{low:.4f}-{high:.4f}':>18}{f'{first:.4f}-{third:.4f}':>18}{wall:12.4f}"
        )
    return statistics.median(each["statistics"].cpu / each["plain"].cpu for each in rounds) <= LIMIT


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Of the median, by order statistics: at least 95%, whatever the distribution (needs six values)."""
    ordered, count = sorted(values), len(values)
    tail, rank = 0.5**count, 0
    while tail + math.comb(count, rank + 1) * 0.5**count <= 0.025:
        rank += 1
        tail += math.comb(count, rank) * 0.5**count
    return ordered[rank], ordered[count - 1 - rank]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hidden", type=int, default=896)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--vocab", type=int, default=151_936)
    parser.add_argument("--problems", type=int, default=4, help="four responses each")
    parser.add_argument("--prompt", type=int, default=32)
    parser.add_argument("--response", type=int, default=64)
    parser.add_argument("--micro-batch-tokens", type=int, default=4096)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--zero-stage", type=int, default=0, help="0: without ZeRO's own noise")
    parser.add_argument("--updates", type=int, default=4, help="per step; divides --problems")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=VARIANTS, help="plain and statistics always")
    parser.add_argument("--rounds", type=int, default=8, help="six at least, for an interval of 95%%")
    parser.add_argument("--tiled", type=int, default=5, help="steps for the estimate tile by tile")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        parts = make_parts(options, Path(folder))
    names = [name for name in VARIANTS if name in {"plain", "statistics", *options.variants}]
    run_variant("statistics", parts)  # thread pools, allocator, first use
    tiled = sorted(tile_by_tile(parts) for _ in range(options.tiled))
    print(f"statistics against plain, tile by tile: {' '.join(f'{ratio:.4f}' for ratio in tiled)}", flush=True)
    rounds = []
    for index in range(options.rounds):
        order = [names[(index + offset) % len(names)] for offset in range(len(names))]
        rounds.append({name: run_variant(name, parts) for name in order})
        print({name: round(each.cpu, 3) for name, each in rounds[-1].items()}, file=sys.stderr, flush=True)
    return 0 if report(rounds, options) else 1


if __name__ == "__main__":
    raise SystemExit(main())
