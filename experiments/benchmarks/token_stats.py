"""Time and peak memory of token statistics, forward and backward: streamed, from full logits, and TRL's way.

    python experiments/benchmarks/token_stats.py --tokens 1024

Each path takes hidden states and the output layer's weight and ends with the gradients of Σ g·log π (+ Σ k·H with
`--entropy-grad`) in both:

    stream  steerctl.entropy.stats.stream_stats: log-prob, H, S̄, Σπ²
    full    all logits at once, then steerctl.entropy.stats.stats_from_logits: the same four by plain autograd
    trl     all logits at once, then TRL's `selective_log_softmax` and `entropy_from_logits`: log-prob and H only.
            Without the package their documented way is followed in our own words: log-prob as the target's logit
            minus a logsumexp per sequence, entropy by log-softmax over 128 rows at a time

Every measurement is a process of its own; the paths alternate and the median over the rounds counts. Peak memory is
what the pass adds to the inputs, gradients included: resident set on a CPU (under Linux), allocated memory on a GPU.
Fails if the paths disagree about the loss or the gradients.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor

PATHS = ("stream", "full", "trl")
Statistics = Callable[[Tensor, Tensor, Tensor, argparse.Namespace], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Measurement:
    """One pass: wall and CPU seconds, extra bytes at the peak, and numbers that must agree between the paths."""

    seconds: float
    cpu_seconds: float
    peak_bytes: int
    loss: float
    hidden_grad: float
    weight_grad: float


@dataclass(frozen=True)
class Inputs:
    """Normal hidden states and weights that give logits of standard deviation 3."""

    hidden_ND: Tensor
    weight_VD: Tensor
    targets_N: Tensor
    upstream_2N: Tensor

    @classmethod
    def random(cls, tokens: int, vocab: int, options: argparse.Namespace) -> Inputs:
        """Draw all four; the first two want gradients."""
        like = {"dtype": getattr(torch, options.dtype), "device": options.device}
        weight_VD = torch.empty((vocab, options.hidden), **like).normal_(std=3 / options.hidden**0.5)
        hidden_ND = torch.empty((tokens, options.hidden), **like).normal_()
        targets_N = torch.randint(vocab, (tokens,), device=options.device)
        upstream_2N = torch.randn((2, tokens), device=options.device)
        return cls(hidden_ND.requires_grad_(), weight_VD.requires_grad_(), targets_N, upstream_2N)


def stream(
    hidden_ND: Tensor, weight_VD: Tensor, targets_N: Tensor, options: argparse.Namespace
) -> tuple[Tensor, Tensor]:
    from steerctl.entropy.stats import stream_stats  # noqa: PLC0415 (after the thread count is set)

    stats = stream_stats(
        hidden_ND, weight_VD, targets_N, entropy_grad=options.entropy_grad, chunk_bytes=options.chunk_bytes or None
    )
    return stats.logprobs_N, stats.entropy_N


def full(hidden_ND: Tensor, weight_VD: Tensor, targets_N: Tensor, options: argparse.Namespace) -> tuple[Tensor, Tensor]:
    from steerctl.entropy.stats import stats_from_logits  # noqa: PLC0415 (after the thread count is set)

    stats = stats_from_logits(hidden_ND @ weight_VD.t(), targets_N, entropy_grad=options.entropy_grad)
    return stats.logprobs_N, stats.entropy_N


def trl(hidden_ND: Tensor, weight_VD: Tensor, targets_N: Tensor, options: argparse.Namespace) -> tuple[Tensor, Tensor]:
    if find_spec("trl"):
        from trl.trainer.utils import entropy_from_logits, selective_log_softmax  # noqa: PLC0415 (optional)
    else:
        entropy_from_logits, selective_log_softmax = chunked_entropy, target_minus_logsumexp
    logits_BTV = (hidden_ND @ weight_VD.t()).unflatten(0, (options.sequences, -1))
    logprobs_BT = selective_log_softmax(logits_BTV, targets_N.unflatten(0, (options.sequences, -1)))
    with torch.set_grad_enabled(options.entropy_grad):
        entropy_BT = entropy_from_logits(logits_BTV)
    return logprobs_BT.flatten(), entropy_BT.flatten()


def chunked_entropy(logits_BTV: Tensor) -> Tensor:
    chunks = [torch.log_softmax(chunk_CV, dim=-1) for chunk_CV in logits_BTV.flatten(0, 1).split(128)]
    return torch.cat([-(logp_CV.exp() * logp_CV).sum(dim=-1) for logp_CV in chunks]).view(logits_BTV.shape[:2])


def target_minus_logsumexp(logits_BTV: Tensor, targets_BT: Tensor) -> Tensor:
    target_logits_BT = logits_BTV.gather(-1, targets_BT[..., None])[..., 0]
    return target_logits_BT - torch.stack([torch.logsumexp(logits_TV, dim=-1) for logits_TV in logits_BTV])


def measure(name: str, options: argparse.Namespace) -> Measurement:
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    path: Statistics = {"stream": stream, "full": full, "trl": trl}[name]
    inputs = Inputs.random(options.tokens, options.vocab, options)
    descend(path, Inputs.random(options.sequences, 1024, options), options)  # imports, thread pools

    before = memory_now(options.device)
    start, cpu_start = time.perf_counter(), time.process_time()
    loss, grads = descend(path, inputs, options)
    if options.device == "cuda":
        torch.cuda.synchronize()
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
    peak = memory_peak(options.device) - before
    norms = [float(torch.linalg.vector_norm(grad, dtype=torch.float64)) for grad in grads]
    return Measurement(seconds, cpu_seconds, peak, float(loss), *norms)


def descend(path: Statistics, inputs: Inputs, options: argparse.Namespace) -> tuple[Tensor, tuple[Tensor, ...]]:
    logprobs_N, entropy_N = path(inputs.hidden_ND, inputs.weight_VD, inputs.targets_N, options)
    loss = (inputs.upstream_2N[0] * logprobs_N).sum()
    if options.entropy_grad:
        loss = loss + (inputs.upstream_2N[1] * entropy_N).sum()
    return loss.detach(), torch.autograd.grad(loss, (inputs.hidden_ND, inputs.weight_VD))


def memory_now(device: str) -> int:
    """Bytes in use; forgets earlier peaks."""
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated()
    Path("/proc/self/clear_refs").write_text("5")
    return resident("VmRSS")


def memory_peak(device: str) -> int:
    return torch.cuda.max_memory_allocated() if device == "cuda" else resident("VmHWM")


def resident(key: str) -> int:
    """One of Linux's counts of this process's memory. Not `ru_maxrss`: a child starts with its parent's."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(key + ":"))


def run_child(name: str) -> Measurement:
    command = [sys.executable, __file__, *sys.argv[1:], "--path", name]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return Measurement(**json.loads(done.stdout.splitlines()[-1]))


def report(results: dict[str, list[Measurement]], options: argparse.Namespace) -> bool:
    whose = "the trl package" if find_spec("trl") else "re-expressed, trl is not installed"
    print(
        f"tokens {options.tokens}, vocabulary {options.vocab}, hidden {options.hidden}, {options.dtype} on "
        f"{options.device}, {options.threads} thread(s), {options.rounds} round(s), entropy gradient "
        f"{'on' if options.entropy_grad else 'off'}; trl: {whose}; torch {torch.__version__}"
    )
    print(
        f"{'path':8}{'seconds':>10}{'(range)':>18}{'/ full':>8}{'CPU s':>10}{'/ full':>8}{'peak MiB':>11}{'/ full':>10}"
    )
    middle = {
        name: {
            key: statistics.median(getattr(run, key) for run in runs)
            for key in ("seconds", "cpu_seconds", "peak_bytes")
        }
        for name, runs in results.items()
    }
    for name, values in middle.items():
        times = [run.seconds for run in results[name]]
        share = {key: value / middle["full"][key] for key, value in values.items()}
        print(
            f"{name:8}{values['seconds']:10.2f}{f'{min(times):.2f}-{max(times):.2f}':>18}{share['seconds']:8.2f}"
            f"{values['cpu_seconds']:10.2f}{share['cpu_seconds']:8.2f}"
            f"{values['peak_bytes'] / 2**20:11.0f}{'1/' + format(1 / share['peak_bytes'], '.1f'):>10}"
        )
    return agree(results, tolerance=1e-2 if options.dtype == "bfloat16" else 1e-4)


def agree(results: dict[str, list[Measurement]], tolerance: float) -> bool:
    reference = results["full"][0]
    worst = 0.0
    for runs in results.values():
        for key in ("loss", "hidden_grad", "weight_grad"):
            expected = getattr(reference, key)
            worst = max(worst, *(abs(getattr(run, key) - expected) / abs(expected) for run in runs))
    print(
        f"largest relative difference of loss and gradient norms between paths: {worst:.1e} (allowed {tolerance:.0e})"
    )
    return worst <= tolerance


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=4096)
    parser.add_argument("--vocab", type=int, default=151_936)
    parser.add_argument("--hidden", type=int, default=896)
    parser.add_argument("--sequences", type=int, default=8, help="how TRL's way sees the tokens; divides --tokens")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--dtype", choices=("float32", "bfloat16", "float64"), default="float32")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--chunk-bytes", type=int, default=0, help="0: the device's default")
    parser.add_argument("--entropy-grad", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--path", choices=PATHS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.path:
        print(json.dumps(vars(measure(options.path, options))))
        return 0
    results: dict[str, list[Measurement]] = {name: [] for name in PATHS}
    for _ in range(options.rounds):
        for name in PATHS:
            results[name].append(run_child(name))
    return 0 if report(results, options) else 1


if __name__ == "__main__":
    raise SystemExit(main())
