"""Outcome-based exploration: answers seldom given to a problem earn a bonus, whatever the way to them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal, assert_never

import torch
from pydantic import PrivateAttr
from torch import Tensor

from steerctl.intervention import Intervention, Population, Turn
from steerctl.intervention._fields import Coefficient, Fraction
from steerctl.intervention._remarks import Handles, OnlyWith, Surroundings, group_remarks
from steerctl.intervention._verdicts import of_rows, remembered
from steerctl.types import Dials, RolloutGroup, TokenBatch, TokenStats

NO_ANSWER = ""
"""All responses without a readable answer are one class."""


class OutcomeExploration(Intervention):
    """A += coef·b on every token of a response; b depends on its answer a alone and passes no z-score. Detached.

    bonus     b
    ucb       min(1, √(1/N))                   N: how often a was given to this problem in earlier visits; 1 at N = 0
    ucb_mean  that, less its mean over the group
    ucb_con   that, less baseline: negative from N > 1/baseline² on, 4 at ½
    batch     −(1/G)·#{j ≠ i of the group with the same answer}

    Equal answers earn equal bonuses, right or wrong; `ucb` alone keeps going back to answers known to be wrong. The
    counts by problem and answer are kept in checkpoints. Factor touched: advantage.

    Source: arXiv 2509.06941, read in published notes (ucb_con with baseline ½ the best of the historical ones; batch
    for diversity at test time); no code found.

    Departures: (1) coef was not found: ours; (2) N counts visits before this group, which enters afterwards; (3) the
    canonical answer is the verifier's; responses without one count as one answer; (4) applies_to is ours; (5) the KL to
    the reference beside it is intervention `kl`.
    """

    kind: Literal["outcome_exploration"] = "outcome_exploration"
    turns: ClassVar[Handles] = frozenset({"advantages"})
    bonus: Literal["ucb", "ucb_mean", "ucb_con", "batch"] = "ucb_con"
    """Which b (paper's best: ucb_con)."""
    coef: Coefficient = 0.1
    """c, advantage per unit of bonus (ours)."""
    baseline: Annotated[Fraction, OnlyWith(bonus="ucb_con")] = 0.5
    """b₀ (paper 0.5)."""
    applies_to: Literal["all", "wrong"] = "all"
    """Whose advantages change; wrong spares repeated right answers (paper: all)."""
    _counts: dict[str, Counter[str]] = PrivateAttr(default_factory=dict)
    _bonus_R: Tensor | None = PrivateAttr(default=None)

    def remarks(self, around: Surroundings) -> Iterator[str]:
        """No coefficient, or nothing to compare."""
        if self.coef == 0:
            yield "does nothing with coef 0"
        if self.bonus in ("ucb_mean", "batch"):
            yield from group_remarks(around)

    def reshape(self, groups: Sequence[RolloutGroup]) -> Sequence[RolloutGroup]:
        """The groups as they are; their answers are counted and give the step's bonuses."""
        self._bonus_R = torch.tensor([b for group in groups for b in self._visit(group)], dtype=torch.float64)
        return groups

    def prepare(self, population: Population) -> Turn:  # noqa: ARG002 (each response on its own)
        """The turn that adds this step's bonuses."""
        bonus_R = remembered(self._bonus_R, self.kind)

        def turn(dials: Dials, batch: TokenBatch, stats: TokenStats) -> Dials:  # noqa: ARG001 (the answer decides)
            return replace(dials, advantages_BT=dials.advantages_BT + self.coef * of_rows(bonus_R, batch))

        return turn

    def _visit(self, group: RolloutGroup) -> list[float]:
        """The bonus of each response, its group counted afterwards."""
        answers = [NO_ANSWER if verdict.answer is None else verdict.answer for verdict in group.verdicts]
        seen = self._counts.setdefault(group.problem.id, Counter())
        bonuses = self._bonuses(answers, seen)
        seen.update(answers)
        if self.applies_to == "all":
            return bonuses
        return [0.0 if v.value > 0.5 else b for b, v in zip(bonuses, group.verdicts, strict=True)]

    def _bonuses(self, answers: Sequence[str], seen: Counter[str]) -> list[float]:
        rarity = [min(1.0, max(seen[answer], 1) ** -0.5) for answer in answers]
        match self.bonus:
            case "ucb":
                return rarity
            case "ucb_mean":
                return [value - sum(rarity) / len(rarity) for value in rarity]
            case "ucb_con":
                return [value - self.baseline for value in rarity]
            case "batch":
                within = Counter(answers)
                return [-(within[answer] - 1) / len(answers) for answer in answers]
            case _:
                assert_never(self.bonus)

    def state_dict(self) -> Mapping[str, Any]:
        """Counts by problem and answer."""
        return {"counts": {problem: dict(seen) for problem, seen in self._counts.items()}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        self._counts = {problem: Counter(seen) for problem, seen in state["counts"].items()}
