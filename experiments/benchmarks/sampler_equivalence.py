"""Do vLLM and the embedded generator sample from the same distribution? One policy, the same problems, many samples.

    python experiments/benchmarks/sampler_equivalence.py --problems 512 --samples 16

Beside the difference between the two stands the difference of the embedded generator to itself with other seeds, which
is chance. Differences are paired by problem; intervals are 95 %, from the spread over problems. Surprisal is minus the
log-probability of the sampled token as the generator reports it, whose mean is the entropy of what is sampled.
"""

from __future__ import annotations

import argparse
import statistics
from contextlib import ExitStack
from typing import Any

import torch
from generation import Work, open_served

from steerctl.engine.embedded import LocalGenerator
from steerctl.reward.arithmetic import ArithmeticVerifier

QUANTITIES = ("accuracy", "surprisal", "length", "stopped")


def main() -> int:
    options = parse()
    torch.set_num_threads(options.threads)
    work = Work(options)
    embedded = LocalGenerator(work.model, work.tokenizer, max_sequences=512, stop_ids=frozenset(work.stop_ids))
    with ExitStack() as stack:
        vllm = open_served(work, options, stack)
        vllm_P = measured(work, vllm, 1)
    first_P, second_P = measured(work, embedded, 1), measured(work, embedded, 2)
    print(f"{len(work.prompts)} problems x {options.samples} samples, at most {options.max_tokens} tokens")
    print(f"{'quantity':12}{'embedded':>10}{'vllm - embedded':>17}{'95 %':>10}{'embedded again':>16}{'95 %':>10}")
    outside = 0
    for name in QUANTITIES:
        values = [first[name] for first in first_P]
        difference, half = interval([b[name] - a[name] for a, b in zip(first_P, vllm_P, strict=True)])
        chance, other = interval([b[name] - a[name] for a, b in zip(first_P, second_P, strict=True)])
        outside += abs(difference) > half
        level = statistics.fmean(values)
        print(f"{name:12}{level:10.4f}{difference:+17.4f}{half:>10.4f}{chance:+16.4f}{other:>10.4f}")
    print(f"{outside} of {len(QUANTITIES)} intervals of vllm - embedded leave out zero")
    return 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="tiny", help="policy.model")
    parser.add_argument("--random-weights", action="store_true", help="policy.random_weights")
    parser.add_argument("--problems", type=int, default=512)
    parser.add_argument("--samples", type=int, default=16)
    parser.add_argument("--max-tokens", type=int, default=48)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--in-flight", type=int, default=128)
    return parser.parse_args()


def measured(work: Work, generator: Any, index: int) -> list[dict[str, float]]:  # noqa: ANN401 (either of ours)
    """The means of every problem's samples."""
    verifier, found = ArithmeticVerifier(), []
    for problem, group in zip(work.problems, generator.generate(work.requests(index), work.sampling), strict=True):
        verdicts = verifier.verify([(problem, rollout.text) for rollout in group])
        tokens = sum(len(rollout.token_ids_T) for rollout in group)
        found.append(
            {
                "accuracy": statistics.fmean(verdict.value for verdict in verdicts),
                "surprisal": -sum(float(rollout.logprobs_T.sum()) for rollout in group) / tokens,
                "length": tokens / len(group),
                "stopped": statistics.fmean(rollout.finish == "stop" for rollout in group),
            }
        )
    return found


def interval(differences: list[float]) -> tuple[float, float]:
    """Mean, and half the width of its 95 % interval."""
    return statistics.fmean(differences), 1.96 * statistics.stdev(differences) / len(differences) ** 0.5


if __name__ == "__main__":
    raise SystemExit(main())
