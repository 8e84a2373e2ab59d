"""Problems: one data set family per file; prompt templates; tokenisation."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from steerctl.plugins import Plugin
from steerctl.types import Problem


@dataclass(frozen=True, slots=True)
class ProblemSet:
    """Problems ready to be asked, and a count of each reason for which rows were left out."""

    problems: Sequence[Problem]
    dropped: Mapping[str, int] = field(default_factory=dict)


class Dataset(Plugin):
    """Where problems come from."""

    @abstractmethod
    def load(self) -> ProblemSet:
        """All problems, in a fixed order. Raises DataError."""

    def missing_files(self) -> tuple[str, ...]:
        """Paths the spec names that do not exist; looked at by `steerctl check` without loading anything."""
        return ()
