"""The benchmarks by name: which data set, which judge, how many samples of each question; and the suites of them."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

Area = Literal["math", "code", "check"]


MATH_VERIFY: Mapping[str, Any] = MappingProxyType({"kind": "math_verify", "where": "answer_line"})
"""Some presets ask for a box, others for a line "Answer: ..."."""


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One benchmark.

    area      math, code, or check: not a benchmark of anyone's, but quick and always there
    samples   of each question, where the user does not say; None: as many as the preset says
    dataset   settings of its data set; `folder`, `gold` and `preset` are added where the data set has them
    verifier  settings of its judge
    files     names of its files, where its data set takes a path, or paths
    """

    name: str
    area: Area
    samples: int | None
    dataset: Mapping[str, Any]
    verifier: Mapping[str, Any] = field(default_factory=lambda: MATH_VERIFY)
    files: tuple[str, ...] = ()


def _math(name: str) -> Benchmark:
    return Benchmark(name, "math", None, {"kind": "benchmark", "name": name})


def _code(name: str, settings: Mapping[str, Any], *files: str, samples: int | None = None) -> Benchmark:
    return Benchmark(name, "code", samples, settings, {"kind": "code"}, files)


LIVE_CODE_BENCH = tuple(f"livecodebench/test{number}.jsonl" for number in ("", 2, 3, 4, 5))
"""Release v5."""
WINDOW = {"since": "2024-08-01", "until": "2025-02-01"}
"""The contests that the paper's 279 problems are of."""


BENCHMARKS: Mapping[str, Benchmark] = {
    each.name: each
    for each in (
        _math("aime24"),
        _math("aime25"),
        _math("amc23"),
        _math("math500"),
        _math("minerva"),
        _math("olympiadbench"),
        _math("gsm8k"),
        _code("humaneval_plus", {"kind": "human_eval"}, "HumanEvalPlus.jsonl.gz"),
        _code("mbpp_plus", {"kind": "mbpp"}, "MbppPlus.jsonl.gz"),
        _code("livecodebench", {"kind": "live_code_bench", **WINDOW}, *LIVE_CODE_BENCH),
        _code("leetcode", {"kind": "leet_code"}, "LeetCodeDataset-v0.3.1-test.jsonl.gz", samples=4),
        Benchmark(
            "arithmetic", "check", 4, {"kind": "arithmetic", "split": "test", "count": 64}, {"kind": "arithmetic"}
        ),
    )
}
"""Every benchmark, in the order of the tables."""
SUITES: Mapping[str, tuple[str, ...]] = {
    "math": ("aime24", "aime25", "amc23", "math500", "minerva", "olympiadbench"),
    "code": ("humaneval_plus", "mbpp_plus", "leetcode"),
    "all": ("aime24", "aime25", "amc23", "math500", "minerva", "olympiadbench", "humaneval_plus", "mbpp_plus",
            "leetcode"),
}  # fmt: skip
"""Nine benchmarks in all. GSM8K is asked for by name: its training split is in everyone's data. LiveCodeBench too: its
files cannot be shipped or fetched without an account, and LeetCode covers the same months."""


def benchmarks_of(suite: str) -> tuple[Benchmark, ...]:
    """The benchmarks of a suite, or of names with commas between them, each once.

    Raises:
        ValueError: a name is unknown.
    """
    names: list[str] = []
    for name in (part.strip() for part in suite.split(",")):
        if name not in BENCHMARKS and name not in SUITES:
            raise ValueError(f"no benchmark or suite is called '{name}'{_near(name)}")
        names += SUITES.get(name, (name,))
    return tuple(BENCHMARKS[name] for name in dict.fromkeys(names))


def _near(name: str) -> str:
    known = [*SUITES, *BENCHMARKS]
    close = difflib.get_close_matches(name.lower(), known, n=1)
    return f"; did you mean {close[0]}?" if close else f"; known are {', '.join(known)}"
