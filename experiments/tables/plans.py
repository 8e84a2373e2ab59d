"""What each target is made of: a sweep, the variants of it that are rows, the numbers that are columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from experiments.figures.studies import Scale
from experiments.tables import published
from experiments.tables.published import Published
from experiments.tables.reading import BEFORE, Number, at_last, at_step_of, by_length

STUDY = "experiments/study/sweep.yaml"
SIZES = "experiments/tables/sizes.yaml"


@dataclass(frozen=True, slots=True)
class Row:
    """One row: what it is called, and the variant it shows."""

    label: str
    variant: str


@dataclass(frozen=True, slots=True)
class Part:
    """A target at one scale. `sweep` is relative to the repository's root, where the command is run.

    caution  what stands in place of a finding where there can be none
    """

    sweep: str
    rows: tuple[Row, ...]
    numbers: tuple[Number, ...]
    baseline: str
    caution: str = ""

    @property
    def variants(self) -> list[str]:
        """Whose cells are needed."""
        names = [row.variant if row.variant != BEFORE else self.baseline for row in self.rows]
        return list(dict.fromkeys([self.baseline, *names]))


@dataclass(frozen=True, slots=True)
class Plan:
    """A target: what it is called, the paper's numbers, and what it is made of at either scale."""

    name: str
    title: str
    parts: Mapping[Scale, Part]
    published: Published | None = None


ACCURACY = Number("validation/accuracy/mean", "accuracy, %", at_last("validation/accuracy/mean"), 100, compared=True)
ENTROPY = Number("policy/entropy/mean", "entropy, nats", at_last("policy/entropy/mean"), 1, compared=True)
TINY = (ACCURACY, ENTROPY)
LENGTHS = tuple(
    Number(f"validation/accuracy/{name}", f"{name} numbers, %", by_length(few), 100)
    for name, few in (("2", (2,)), ("3", (3,)), ("4-5", (4, 5)), ("6", (6,)))
)
MACRO, AIME24 = "eval/macro/accuracy/mean", "eval/aime24/accuracy/mean"
CHOSEN = (
    Number(f"{MACRO} where validation was best", "mean of six at the chosen step, %",
           at_step_of("validation/accuracy/mean", MACRO), 100, compared=True),
    Number(f"{MACRO} where AIME24 was best", "mean of six as the paper chooses, %",
           at_step_of(AIME24, MACRO), 100),
)  # fmt: skip


def benchmarks(names: Mapping[str, str]) -> tuple[Number, ...]:
    """Their accuracies at the last step, and the mean over them."""
    found = [Number(key, f"{title}, %", at_last(key), 100) for key, title in names.items()]
    return (*found, Number(MACRO, "mean, %", at_last(MACRO), 100, compared=True))


MATH = (
    *benchmarks({
        AIME24: "AIME24", "eval/aime25/accuracy/mean": "AIME25", "eval/amc23/accuracy/mean": "AMC23",
        "eval/math500/accuracy/mean": "MATH500", "eval/minerva/accuracy/mean": "Minerva",
        "eval/olympiadbench/accuracy/mean": "Olympiad",
    }),
    *CHOSEN, ENTROPY,
)  # fmt: skip
CODE = {
    "eval/leetcode/accuracy/mean": "LeetCode", "eval/humaneval_plus/accuracy/mean": "HumanEval+",
    "eval/mbpp_plus/accuracy/mean": "MBPP+",
}  # fmt: skip
LIVE = {"eval/livecodebench/accuracy/mean": "LiveCodeBench v5"}

BASE, GRPO, STEER = Row("Base", BEFORE), Row("GRPO", "grpo"), Row("STEER", "steer_paper_v4")
SHORT = (
    BASE, GRPO, Row("OPO", "opo"), Row("Entropy advantage", "entropy_advantage"), Row("Clip-Cov", "clip_cov"), STEER,
)  # fmt: skip
METHODS = (
    BASE, GRPO, Row("OPO", "opo"), Row("Clip-higher", "clip_higher"), Row("Entropy bonus", "entropy_bonus"),
    Row("Top-entropy mask", "top_entropy"), Row("W-REINFORCE", "w_reinforce"),
    Row("Entropy advantage", "entropy_advantage"), Row("Clip-Cov", "clip_cov"), Row("KL-Cov", "kl_cov"), STEER,
)  # fmt: skip
EXTREME = (
    Row("GRPO", "extreme_grpo"), Row("Entropy advantage", "extreme_entropy_advantage"),
    Row("Entropy bonus", "extreme_entropy_bonus"), Row("Clip-Cov", "extreme_clip_cov"), Row("STEER", "extreme_steer"),
)  # fmt: skip
CURVES = tuple(row for row in METHODS if row.label in {
    "GRPO", "OPO", "Clip-higher", "Entropy advantage", "Clip-Cov", "KL-Cov", "STEER",
})  # fmt: skip
WEIGHTS = (
    *(Row(f"STEER, λ_min {least}", f"steer_min_{least}") for least in ("0.5", "0.6")),
    Row("STEER, λ_min 0.7", "steer_paper_v4"), Row("STEER, λ_min 0.8", "steer_min_0.8"),
)  # fmt: skip
FORMS = (Row("STEER, released code", "steer_released"), Row("STEER, exact form", "steer_exact"))
HIGHER = (Row("STEER at 0.28", "steer_higher"), Row("STEER, released code, at 0.28", "steer_released"))


def of_size(rows: tuple[Row, ...], size: str, *, named: str = "") -> tuple[Row, ...]:
    """The rows of one model in a sweep over several."""
    label = f", {named}" if named else ""
    return tuple(Row(row.label + label, f"{row.variant}-{size}" if row.variant != BEFORE else BEFORE) for row in rows)


def _study(tiny: tuple[Row, ...], paper: tuple[Row, ...], more: tuple[Number, ...] = ()) -> dict[Scale, Part]:
    """Views of the study, and of its like with the paper's model."""
    baseline = "extreme_grpo" if tiny is EXTREME else "grpo"
    return {
        "tiny": Part(STUDY, tiny, (*TINY, *more), baseline),
        "paper": Part("experiments/paper/sweep_7b.yaml", paper, MATH, baseline),
    }


def _sizes(tiny: str, paper: str) -> dict[Scale, Part]:
    sweep = "experiments/paper/sweep_sizes.yaml"
    return {
        "tiny": Part(SIZES, of_size(SHORT, tiny), TINY, f"grpo-{tiny}"),
        "paper": Part(sweep, of_size(SHORT, paper), MATH, f"grpo-{paper}"),
    }


CODERS = tuple(
    row for size in ("3b", "7b", "14b") for row in of_size((GRPO, STEER), size, named=size.upper())
)  # fmt: skip
EMPTY = (
    "These numbers mean nothing: the policy has fresh weights and writes no program. They show that the path holds: "
    "problems, the sandbox (where the reference solutions run), rewards, updates, the code suites"
)
PLANS: Final[Mapping[str, Plan]] = {plan.name: plan for plan in (
    Plan("table3", "Table 3: methods at the standard clip", _study((*METHODS, *FORMS), (*METHODS, *HIGHER)),
         published.TABLE3),
    Plan("table4", "Table 4: a larger policy", _sizes("large", "14b"), published.TABLE4),
    Plan("table5", "Table 5: programs", {
        "tiny": Part("experiments/tables/code.yaml", (GRPO, STEER), (ACCURACY, *benchmarks(CODE), ENTROPY), "grpo",
                     EMPTY),
        "paper": Part("experiments/paper/sweep_code.yaml", CODERS, (*benchmarks(CODE | LIVE), ENTROPY), "grpo-3b"),
    }, published.TABLE5),
    Plan("table6", "Table 6: bounds that hardly act, clip 0.99 and 5", _study(EXTREME, EXTREME), published.TABLE6),
    Plan("table12", "Table 12: a smaller policy", _sizes("middle", "1.5b"), published.TABLE12),
    Plan("fig12", "Figure 12: accuracy over training", _study((*CURVES, *WEIGHTS), (*CURVES, *WEIGHTS))),
    Plan("fig17", "Figure 17: λ_min", _study((GRPO, *WEIGHTS), (GRPO, *WEIGHTS), LENGTHS), published.FIG17),
)}  # fmt: skip
"""In the order in which they are made."""
