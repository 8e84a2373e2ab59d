"""What is evaluated: benchmarks, samples, and how they are sampled."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, PositiveInt

from steerctl.data.presets import PresetName
from steerctl.plugins import AnyOf, Strict
from steerctl.reward import VerifierSpec
from steerctl.spec.suites import benchmarks_of


def _known(suite: str) -> str:
    benchmarks_of(suite)
    return suite


class EvaluationSpec(Strict):
    """Benchmarks that a policy is measured on, with the generator of the experiment and the experiment's seed.

    The same questions get the same seeds in every evaluation, so that what changes comes from the weights. Nothing of
    the training depends on it.
    """

    every: PositiveInt = 10
    """Steps between evaluations during training; the last step is evaluated too."""
    suite: Annotated[str, AfterValidator(_known)] = "math"
    """math, code, all, or names of benchmarks with commas between them; docs/evaluation.md."""
    samples: Annotated[int, Field(gt=0, le=10**4)] | None = None
    """Responses to each question; None: what the preset says of each benchmark."""
    preset: PresetName = "steer"
    """Whose protocol: the instruction, temperature, top_p, the longest response, samples."""
    folder: str | None = None
    """Folder with the files of the benchmarks, in it or in its folders `math` and `code`; `examples`: a few mathematics
    questions of ours; None: the Hugging Face hub (needs the extra `hub`), which has no code files."""
    gold: Literal["clean", "original"] = "clean"
    """Reference answers as repaired, with every accepted form, or as they were published."""
    temperature: Annotated[float, Field(ge=1e-3, allow_inf_nan=False)] | None = None
    """None: the preset's."""
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    """None: the preset's."""
    max_tokens: Annotated[int, Field(gt=0, le=2**20)] | None = None
    """New tokens at most; None: the preset's."""
    max_prompt_tokens: Annotated[int, Field(gt=0, le=2**20)] = 4096
    """A longer prompt is an error: no question is left out."""
    questions: PositiveInt | None = None
    """Only the first so many questions of each benchmark, to try things out; None: all. The result says so."""
    unsafe_local_exec: bool = False
    """Code benchmarks, where no sandbox holds: run programs with resource limits only; never as root."""
    verifier: Annotated[VerifierSpec, AnyOf("steerctl.reward")] | None = None
    """Judge of the mathematics benchmarks; None: each benchmark's own."""
