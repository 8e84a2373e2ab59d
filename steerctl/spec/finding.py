"""One thing to know about an experiment before it runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Level = Literal["error", "warning", "note"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to know: an error stops the run, a warning changes what it means, a note costs time or surprises."""

    level: Level
    path: str
    text: str


Findings = Iterator[Finding]
