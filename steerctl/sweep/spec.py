"""The sweep file as data: a base experiment, what is varied, seeds, and what is compared."""

from __future__ import annotations

from math import prod
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from steerctl.evaluation.ends import Direction
from steerctl.plugins import Strict
from steerctl.spec.experiment import Seed

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)]
Value = Any
"""Whatever an experiment may hold there."""
NEVER_CHOSEN_BY = "eval/"
"""Metrics of benchmarks: they are reported, and no run, checkpoint or setting is chosen by them."""


def _not_a_benchmark(metric: str) -> str:
    if metric.startswith(NEVER_CHOSEN_BY):
        raise ValueError(f"{metric} is measured on a benchmark, which nothing may be chosen by; name a validation/ key")
    return metric


def _distinct(values: list[int]) -> list[int]:
    if len(set(values)) < len(values):
        raise ValueError("a seed is given twice")
    return values


ChoosingMetric = Annotated[str, AfterValidator(_not_a_benchmark)]


class VariantSpec(Strict):
    """One named way of doing it."""

    name: Name
    """Names the run folders and the rows of the summary."""
    set: dict[str, Value] = Field(default={})
    """Changes to the base: `optim.lr: 2e-4`, or `algorithm: {interventions: [...]}`."""
    file: str | None = None
    """An experiment file instead of the base, relative to the sweep file; usually one that extends the base."""
    differs: list[str] = Field(default=["algorithm"])
    """With `file`: where it may differ from the base. Anything else that differs is an error."""
    baseline: Name | None = None
    """The variant this one is compared with; None: the sweep's."""


class AxisSpec(Strict):
    """One axis: exactly one of the three. The variants of the sweep are the product of its axes."""

    variants: list[VariantSpec] | None = Field(default=None, min_length=1)
    """Named variants, one after the other."""
    grid: dict[str, list[Value]] | None = Field(default=None, min_length=1)
    """Every combination of these values, e.g. `{optim.lr: [1e-4, 4e-4], rollout.group_size: [4, 8]}`."""
    zip: dict[str, list[Value]] | None = Field(default=None, min_length=1)
    """The first values together, then the second values, and so on; lists of one length."""

    @property
    def size(self) -> int:
        """How many entries it has."""
        if self.grid is not None:
            return prod(len(values) for values in self.grid.values())
        return len(self.variants or ()) or min(len(values) for values in (self.zip or {}).values())

    @model_validator(mode="after")
    def _one_of_three(self) -> AxisSpec:
        given = [name for name in ("variants", "grid", "zip") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"an axis is one of variants, grid, zip; this one has {' and '.join(given) or 'none'}")
        for name, values in {**(self.grid or {}), **(self.zip or {})}.items():
            if not values:
                raise ValueError(f"{name} has no values")
        if len({len(values) for values in (self.zip or {}).values()}) > 1:
            raise ValueError("the lists of zip differ in length; use grid for every combination")
        return self


class ContrastSpec(Strict):
    """A comparison that the sweep is for, named before its runs."""

    says: Annotated[str, Field(min_length=1, max_length=200)]
    """What is asked, in words, as the report shows it."""
    variant: Name
    """The variant it is about."""
    baseline: Name | None = None
    """The variant it is compared with; None: the one it is compared with anyway."""
    metric: str | None = None
    """A key of metrics.jsonl; None: the sweep's."""


class RangeSpec(Strict):
    """What a search may choose for one setting: numbers from low to high, or one of several values."""

    low: float | int | None = None
    high: float | int | None = None
    log: bool = False
    """Equal ratios are equally likely, not equal differences."""
    step: float | int | None = None
    """Only low, low + step, ...; whole numbers for low, high and step make a whole number."""
    choices: list[str | float | int | bool] | None = Field(default=None, min_length=1)

    @model_validator(mode="after")
    def _a_range_or_choices(self) -> RangeSpec:
        if self.choices is not None:
            if self.low is not None or self.high is not None or self.log or self.step is not None:
                raise ValueError("choices stand alone, without low, high, log or step")
            return self
        if self.low is None or self.high is None or not self.low <= self.high:
            raise ValueError("needs low and high, low not above high, or choices")
        if self.log and (self.step is not None or self.low <= 0):
            raise ValueError("with log, low must be above 0 and there is no step")
        return self


class PruneSpec(Strict):
    """When a search gives up on a trial, by what its first run shows on the way (metrics.jsonl)."""

    metric: ChoosingMetric = "validation/accuracy/mean"
    kind: Literal["median", "halving"] = "median"
    """median: worse than the median of the others at the same step; halving: successive halving (ASHA)."""
    first_step: PositiveInt = 10
    """Nothing is given up before this step."""
    first_trials: PositiveInt = 4
    """With median: nothing is given up before so many trials are finished."""


class SearchSpec(Strict):
    """Settings chosen by Optuna instead of listed."""

    sampler: Literal["tpe", "random"] = "tpe"
    trials: Annotated[int, Field(gt=0, le=10**5)]
    """Settings tried; each is run with every seed, and its value is the mean over them."""
    space: dict[str, RangeSpec] = Field(min_length=1)
    """Setting -> what may be chosen, e.g. `{optim.lr: {low: 1e-5, high: 1e-3, log: true}}`."""
    prune: PruneSpec | None = None
    seed: Seed = 1
    """Of the sampler: a random search tries the same settings in every sweep of this seed."""


class SlurmSpec(Strict):
    """What each job asks for, with `--launcher slurm`; a job is a worker and runs one cell after the other."""

    partition: str | None = None
    minutes: PositiveInt = 60
    cpus_per_task: PositiveInt = 2
    gpus_per_node: NonNegativeInt = 0
    memory_gb: PositiveInt | None = None
    extra: dict[str, str | int] = Field(default={})
    """Further lines of sbatch, such as `{account: physics}`."""


class SweepSpec(Strict):
    """A sweep file."""

    name: Name
    """Name of the sweep's folder and of its study."""
    output: str = "runs"
    """Folder that holds the sweep's folder, relative to where steerctl is started."""
    base: str
    """The experiment that everything starts from, relative to this file."""
    seeds: Annotated[list[Seed], AfterValidator(_distinct)] = Field(default=[1, 2, 3], min_length=1)
    """Every variant is run with each: equal seeds ask equal problems and draw with equal random numbers."""
    axes: list[AxisSpec] = Field(default=[])
    """What is varied; empty: the base alone."""
    search: SearchSpec | None = None
    """Instead of axes."""
    baseline: Name | None = None
    """What variants are compared with: a variant, or a label on one axis (then the other axes are held equal).
    None: the first variant."""
    contrasts: list[ContrastSpec] = Field(default=[])
    """Planned contrasts: the report answers these first, and corrects p over them alone."""
    metric: ChoosingMetric = "validation/accuracy/mean"
    """The number the sweep is about, a key of metrics.jsonl."""
    direction: Direction = "maximize"
    """Which way `metric` is better."""
    metrics: list[str] = Field(default=["reward/mean", "policy/entropy/mean"])
    """Further columns of the summary."""
    last_steps: PositiveInt = 1
    """A run's value of a metric is its mean over so many last steps (over those of them that have it)."""
    choose_by: ChoosingMetric = "validation/accuracy/mean"
    """Also reported: every metric at the step at which this was best, the earliest if several."""
    retries: NonNegativeInt = 2
    """How often a cell that the machine killed (SIGKILL, out of memory) is started again."""
    storage: str | None = None
    """Optuna's storage, such as mysql://... for many machines; None: study.db, SQLite, in the sweep's folder."""
    heartbeat_seconds: PositiveFloat = 10.0
    """How often a worker says that it lives."""
    stale_seconds: PositiveFloat = 120.0
    """A worker of another machine that has not said so for this long is gone, and its cells are taken over."""
    slurm: SlurmSpec = SlurmSpec()

    @model_validator(mode="after")
    def _axes_or_search(self) -> SweepSpec:
        if self.axes and self.search is not None:
            raise ValueError("axes and search exclude each other; a search's space may hold choices")
        if self.contrasts and self.search is not None:
            raise ValueError("contrasts are between variants, and a search has none")
        if self.stale_seconds < 3 * self.heartbeat_seconds:
            raise ValueError("stale_seconds must be at least three times heartbeat_seconds")
        return self
