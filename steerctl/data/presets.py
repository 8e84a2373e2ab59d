r"""Whose protocol a benchmark follows: the instruction around the question, and how responses are sampled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from steerctl.data.templates import ask
from steerctl.types import Message, Sampling

PresetName = Literal["steer", "dapo", "qwen-math", "r1"]
BenchmarkName = Literal["aime24", "aime25", "amc23", "math500", "minerva", "olympiadbench", "gsm8k"]
Wording = Literal["dapo", "boxed", "system"]

BOXED = "Please reason step by step, and put your final answer within \\boxed{}."
_CONTESTS = ("aime24", "aime25", "amc23")


@dataclass(frozen=True, slots=True)
class Preset:
    """One protocol.

    sampling  temperature, top_p, top_k, new tokens at most; greedy is temperature 1 with top_k 1
    samples   of each question, by benchmark; every other benchmark gets `otherwise`
    wording   of the instruction, by benchmark; every other benchmark gets `instruction`
    source    where the numbers come from
    """

    sampling: Sampling
    otherwise: int
    instruction: Wording
    source: str
    samples: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    wording: Mapping[str, Wording] = field(default_factory=lambda: MappingProxyType({}))

    def samples_of(self, benchmark: str) -> int:
        """How many responses each question of a benchmark gets."""
        return self.samples.get(benchmark, self.otherwise)

    def wording_of(self, benchmark: str) -> Wording:
        """How a benchmark is asked."""
        return self.wording.get(benchmark, self.instruction)


PRESETS: Mapping[PresetName, Preset] = MappingProxyType(
    {
        "steer": Preset(
            Sampling(temperature=1.0, top_p=0.7, top_k=0, max_tokens=3072),
            otherwise=1,
            instruction="system",
            source="STEER's released run/*.sh and data files; LiveCodeBench avg@4 as in its paper",
            samples=MappingProxyType({**dict.fromkeys(_CONTESTS, 32), "livecodebench": 4}),
            wording=MappingProxyType(dict.fromkeys((*_CONTESTS, "gsm8k"), "dapo")),
        ),
        "dapo": Preset(
            Sampling(temperature=1.0, top_p=0.7, top_k=0, max_tokens=20480),
            otherwise=1,
            instruction="dapo",
            source="DAPO (arXiv 2503.14476) and verl's recipe: avg@32 on AIME, T = 1.0, top_p = 0.7",
            samples=MappingProxyType(dict.fromkeys(_CONTESTS, 32)),
        ),
        "qwen-math": Preset(
            Sampling(temperature=1.0, top_p=1.0, top_k=1, max_tokens=2048),
            otherwise=1,
            instruction="system",
            source="Qwen2.5-Math's evaluation scripts: greedy, one sample, the boxed instruction as system message",
        ),
        "r1": Preset(
            Sampling(temperature=0.6, top_p=0.95, top_k=0, max_tokens=32768),
            otherwise=4,
            instruction="boxed",
            source="DeepSeek-R1's model card: T = 0.6, top_p = 0.95, 32,768 tokens, no system message; reports use "
            "16 to 64 samples on contests",
            samples=MappingProxyType(dict.fromkeys(_CONTESTS, 64)),
        ),
    }
)
"""The four protocols. `samples` of the paper's suite under `steer`: 100 contest questions x 32 + 1,447."""


def asked(question: str, benchmark: str, preset: PresetName) -> tuple[Message, ...]:
    r"""The chat turns of a bare question, instruction included.

    dapo    around the question: a last line "Answer: $Answer"
    boxed   after the question: step by step, the answer in \boxed{}
    system  the same sentence as system message: what Qwen2.5-Math's chat template adds where there is none

    Departures from STEER: 1. its files leave MATH500, Minerva and OlympiadBench bare and rely on that chat template;
    the explicit message gives the same text there, and an instruction to every other model. 2. its GSM8K prompts lost
    the words "$Answer"; they are asked whole.
    """
    turns = (Message("user", question),)
    wording = PRESETS[preset].wording_of(benchmark)
    if wording == "system":
        return (Message("system", BOXED), *turns)
    return ask(turns, wording)
