"""Ctrl-C: the first one finishes the step and saves it, the second one abandons the step."""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Self


class Interrupts:
    """While active, the first SIGINT or SIGTERM sets `requested`; the next one raises KeyboardInterrupt at once."""

    def __init__(self, notice: Callable[[str], None]) -> None:
        self.requested = False
        self._notice = notice
        self._before: dict[int, signal.Handlers | Callable[[int, FrameType | None], object] | int | None] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 (the signature signal asks for)
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
        self._notice("stopping after this step; once more to abandon the step")
