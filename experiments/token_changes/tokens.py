"""The runs that all figures of this folder share, and their token tables.

A run is one policy on one set of problems with one seed; what `analysis.probe` kept of its first steps is read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from experiments.figures import studies
from experiments.token_changes import policies
from steerctl.analysis.table import arrays

HERE = Path(__file__).resolve().parent
SEEDS: Final[dict[studies.Scale, tuple[int, ...]]] = {"tiny": (1, 2, 3), "paper": (1,)}
PROBLEMS: Final[dict[studies.Scale, tuple[str, str]]] = {
    "tiny": ("long", "short"),
    "paper": ("paper_dapo", "paper_math"),
}
"""Specs of the two sets of problems; the first is that of the figures about one set."""
SIZES: Final[dict[studies.Scale, tuple[str, ...]]] = {
    "tiny": policies.SIZES,
    "paper": ("Qwen2.5-Math-1.5B", "Qwen2.5-7B", "Qwen2.5-Math-7B"),
}
MAIN: Final[dict[studies.Scale, str]] = {"tiny": policies.SHIPPED, "paper": "Qwen2.5-Math-7B"}
"""The policy of the figures about one."""
POLICIES = studies.RUNS / "policies"

Tokens = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Case(studies.Planned):
    """One run; `variant` names the problems, `size` the policy."""

    size: str = ""

    @property
    def arguments(self) -> tuple[str, ...]:
        """What `steerctl train` is given."""
        model = policies.model_of(POLICIES, self.size) if self.scale == "tiny" else f"Qwen/{self.size}"
        name = f"token-changes-{self.variant.stem}-{self.size}-seed{self.seed}"
        given = (f"policy.model={model}", f"seed={self.seed}", f"output={studies.RUNS / self.scale}", f"name={name}")
        return (str(self.variant), *given)


def cases(scale: studies.Scale, problems: Sequence[str], sizes: Sequence[str]) -> list[Case]:
    """Every combination, all of the first seed before the next."""
    return [
        Case(HERE / f"{each}.yaml", seed, scale, size) for seed in SEEDS[scale] for each in problems for size in sizes
    ]


def tokens_of(wanted: Sequence[Case]) -> dict[str, NDArray[Any]]:
    """The finished runs' token tables as one, with `problems`, `size` and `seed`."""
    parts = []
    for case in wanted:
        run = case.finished()
        if run is None:
            continue
        table = arrays(*(run.read_probe(step) for step in run.probe_steps()))
        count = len(table["measured"])
        named = {"problems": case.variant.stem, "size": case.size, "seed": case.seed}
        parts.append({**table, **{name: np.full(count, value) for name, value in named.items()}})
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def chosen(tokens: Tokens, mask: NDArray[np.bool_]) -> dict[str, NDArray[Any]]:
    """Some of them."""
    return {name: values[mask] for name, values in tokens.items()}
