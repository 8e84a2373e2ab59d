"""Ctrl-C and SIGTERM, by what they find: the start-up, work between steps, or a step.

While the run is being built nothing is on disk, and the process ends there (`at_start`). Once there is a run folder,
the work is broken off and tidied up (`breaking_off`). In the loop the first one finishes the step and saves it, the
second one abandons the step (`Interrupts`).
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Self

from steerctl.engine.environment import LAUNCHED

NOTHING_WRITTEN = "interrupted; nothing was written"
SIGNALS = (signal.SIGINT, signal.SIGTERM)

_received: list[int] = []


class BrokenOff(KeyboardInterrupt):
    """A signal came while no step was running."""


class Abandoned(KeyboardInterrupt):
    """A second signal came during a step."""


def exit_code() -> int:
    """128 + the signal that came last: 130 after Ctrl-C, 143 after SIGTERM."""
    return 128 + (_received[-1] if _received else signal.SIGINT)


@contextmanager
def at_start() -> Iterator[None]:
    """A signal ends the process at once with one line: an exception would be lost or torn inside an import or in C++.

    A rank that steerctl launched says nothing: the launcher does. For a process that ends after the block.
    """

    def leave(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 (the signature signal asks for)
        sys.stderr.write(f"{NOTHING_WRITTEN}\n")
        sys.stderr.flush()
        os._exit(128 + number)

    _set(dict.fromkeys(SIGNALS, signal.SIG_DFL if LAUNCHED in os.environ else leave))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # all is said and done: one more must not change the exit code
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextmanager
def breaking_off() -> Iterator[None]:
    """A signal raises BrokenOff, so that what is open gets closed."""

    def raise_here(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 (the signature signal asks for)
        _received.append(number)
        raise BrokenOff

    with _handling(raise_here):
        yield


class Interrupts:
    """While active, the first SIGINT or SIGTERM sets `requested`; the next one raises Abandoned at once."""

    def __init__(self, notice: Callable[[str], None]) -> None:
        self.requested = False
        self._notice = notice
        self._before: Mapping[int, Handler] = {}

    def __enter__(self) -> Self:
        self._before = _set(dict.fromkeys(SIGNALS, self._handle))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _set(self._before)

    def _handle(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 (the signature signal asks for)
        _received.append(number)
        if self.requested:
            raise Abandoned
        self.requested = True
        self._notice("stopping after this step; once more to abandon the step")


Handler = signal.Handlers | Callable[[int, FrameType | None], object] | int | None


@contextmanager
def _handling(handler: Handler) -> Iterator[None]:
    before = _set(dict.fromkeys(SIGNALS, handler))
    try:
        yield
    finally:
        _set(before)


def _set(handlers: Mapping[int, Handler]) -> dict[int, Handler]:
    """Returns those that were in place."""
    return {number: signal.signal(number, handler) for number, handler in handlers.items()}
