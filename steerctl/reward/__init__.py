"""Verifiers: one per file, (problem, response) -> Verdict(value, answer, why)."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from steerctl.plugins import Plugin

if TYPE_CHECKING:
    from steerctl.protocols import Verifier


class VerifierSpec(Plugin):
    """How responses are judged."""

    @abstractmethod
    def open(self) -> Verifier:
        """The verifier itself; whoever opens it closes it."""
