"""Does it matter for training which generator samples? The quickstart pair with vLLM and with the embedded generator.

    nice python experiments/benchmarks/generator_equivalence.py --seeds 1 2 3 --steps 10
    python experiments/benchmarks/generator_equivalence.py --report-only

For every seed and method two runs that differ in `rollout.generator.kind` alone: the same problems in the same order,
the same first weights, two ranks of ZeRO-3. The generators draw different tokens from the same distribution, so curves
differ by chance; what is asked is whether they differ by more. Printed are the largest parity difference of every push,
and for reward, accuracy, entropy and length the mean over steps of (vllm - embedded), paired by seed and method, with a
95 % interval (Student's t over the pairs) beside the spread of the embedded runs themselves between seeds.

Runs that are complete in `--output` are not repeated, so it can be broken off and called again.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GENERATORS = ("embedded", "vllm")
CURVES = ("reward/mean", "policy/entropy/mean", "response/length/mean", "optim/grad_norm/mean")
PARITY, MISMATCH = "mismatch/parity/max", "mismatch/logprob_abs/max"


@dataclass(frozen=True)
class Pair:
    """One seed of one method, under both generators: the lines of metrics.jsonl, step 1 and later."""

    seed: int
    method: str
    embedded: list[dict[str, float]]
    vllm: list[dict[str, float]]

    def difference(self, key: str) -> float:
        """Mean over steps of vllm - embedded."""
        return statistics.fmean(b[key] - a[key] for a, b in zip(self.embedded, self.vllm, strict=True))


def main() -> int:
    options = parse()
    wanted = [(seed, method) for seed in options.seeds for method in options.methods]
    if not options.report_only:
        for seed, method in wanted:
            for generator in GENERATORS:
                train(options, seed, method, generator)
    pairs = list(found(options, wanted))
    if not pairs:
        print(f"no complete pair in {options.output}", file=sys.stderr)
        return 1
    return report(pairs, options)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--methods", nargs="+", default=["grpo", "steer"], help="files of experiments/quickstart")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--tolerance", type=float, default=1e-4, help="rollout.generator.parity_tolerance")
    parser.add_argument("--output", type=Path, default=Path("runs/generator_equivalence"))
    parser.add_argument("--report-only", action="store_true")
    return parser.parse_args()


def run_name(seed: int, method: str, generator: str) -> str:
    return f"{method}-seed{seed}-{generator}"


def train(options: argparse.Namespace, seed: int, method: str, generator: str) -> None:
    name = run_name(seed, method, generator)
    if len(lines(options.output / name)) >= options.steps:
        return
    settings = [
        f"name={name}",
        f"output={options.output}",
        f"seed={seed}",
        f"steps={options.steps}",
        "validate_every=0",
    ]
    settings += [f"engine.ranks={options.ranks}", f"checkpoint.every={options.steps}", "log.entropy_after_every=0"]
    settings += [f"rollout.generator.kind={generator}", "log.rollouts_every=0"]
    if generator == "vllm":
        settings.append(f"rollout.generator.parity_tolerance={options.tolerance}")
    spec = ROOT / "experiments" / "quickstart" / f"{method}.yaml"
    command = [sys.executable, "-m", "steerctl", "train", str(spec), *settings, "--overwrite", "--quiet"]
    start = time.monotonic()
    done = subprocess.run(command, check=False)
    print(f"{name}: exit code {done.returncode} after {time.monotonic() - start:.0f} s", file=sys.stderr, flush=True)


def lines(folder: Path) -> list[dict[str, float]]:
    file = folder / "metrics.jsonl"
    if not file.is_file():
        return []
    return [line for text in file.read_text().splitlines() if (line := json.loads(text))["step"] > 0]


def found(options: argparse.Namespace, wanted: list[tuple[int, str]]) -> Iterator[Pair]:
    for seed, method in wanted:
        both = [lines(options.output / run_name(seed, method, generator)) for generator in GENERATORS]
        if all(len(each) >= options.steps for each in both):
            yield Pair(seed, method, *(each[: options.steps] for each in both))


def report(pairs: list[Pair], options: argparse.Namespace) -> int:
    from scipy.stats import t as student  # noqa: PLC0415 (only for the report)

    names = ", ".join(f"{pair.method} seed {pair.seed}" for pair in pairs)
    print(f"{len(pairs)} pairs of {options.steps} steps, {options.ranks} ranks: {names}")
    pushes = [line for pair in pairs for line in pair.vllm]
    parity = max(line[PARITY] for line in pushes)
    print(f"largest parity difference of {len(pushes)} pushes: {parity:.1e} nats (allowed {options.tolerance:.0e})")
    print(f"largest difference of any sampled token in training: {max(line[MISMATCH] for line in pushes):.1e} nats")
    print(
        f"{'curve':24}{'embedded':>10}{'first':>9}{'last':>9}{'difference':>12}{'95 % interval':>22}{'sd of seeds':>13}"
    )
    for key in CURVES:
        differences = [pair.difference(key) for pair in pairs]
        mean, half = statistics.fmean(differences), float("nan")
        if len(pairs) > 1:
            half = student.ppf(0.975, len(pairs) - 1) * statistics.stdev(differences) / len(pairs) ** 0.5
        first, last = (statistics.fmean(pair.embedded[at][key] for pair in pairs) for at in (0, -1))
        level = statistics.fmean(line[key] for pair in pairs for line in pair.embedded)
        print(
            f"{key:24}{level:10.4f}{first:9.4f}{last:9.4f}{mean:+12.4f}"
            f"{f'[{mean - half:+.4f}, {mean + half:+.4f}]':>22}{spread(pairs, key):13.4f}"
        )
    return 0 if parity <= options.tolerance else 1


def spread(pairs: list[Pair], key: str) -> float:
    """How far the embedded runs of one method lie apart by their seed: the scale of chance."""
    found = []
    for method in {pair.method for pair in pairs}:
        levels = [statistics.fmean(line[key] for line in pair.embedded) for pair in pairs if pair.method == method]
        if len(levels) > 1:
            found.append(statistics.stdev(levels))
    return statistics.fmean(found) if found else float("nan")


if __name__ == "__main__":
    raise SystemExit(main())
