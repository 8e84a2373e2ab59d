"""What the end of several ranks means: which one is to blame, the one line for the user, the exit code."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from dataclasses import dataclass

ENDED = signal.SIGUSR1
"""What the launcher sends to a training rank when another one has ended; a rank that is still starting dies of it."""
RANK_LOST = 75
"""Exit code, between rank and launcher only, of a rank that ended because another one did."""
USER_ERROR = 2


@dataclass(frozen=True, slots=True)
class Outcome:
    """A rank's end.

    code  as `Popen.poll`: None while it runs, negative for the signal that ended it
    said  its last lines on standard error; empty for rank 0, whose lines the user has seen
    """

    rank: int
    code: int | None
    said: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """The launcher's exit code and line; no text: the user knows already. resumable: add how to go on."""

    code: int
    text: str = ""
    resumable: bool = False


def judge(outcomes: Sequence[Outcome], received: Sequence[int]) -> Verdict:
    """Find the rank that ended by itself and say so, unless it is rank 0 and has said so.

    outcomes  of all ranks, in rank order, before those that were still running were killed
    received  signals that the user sent to the launcher; their consequences are no rank's fault
    """
    first = outcomes[0].code
    spoke = first is not None and first > 0 and first != RANK_LOST
    if received:
        said = "interrupted" if len(received) == 1 else "abandoned"
        stopped = first is None or not spoke or first > 128
        return Verdict(128 + received[0] if stopped else first or 1, "" if spoke else said, resumable=True)
    for outcome in outcomes:
        if outcome.code is not None and outcome.code < 0 and -outcome.code != ENDED:
            text = f"rank {outcome.rank} of {len(outcomes)} was killed ({_signal(-outcome.code)})"
            if -outcome.code == signal.SIGABRT and outcome.said:  # what gave up has said why
                text += f": {outcome.said[-1].strip()}"
            return Verdict(128 - outcome.code, text, resumable=True)
    if spoke and first is not None:
        return Verdict(first)
    failed = [outcome for outcome in outcomes if outcome.code is not None and outcome.code > 0]
    blamed = next((outcome for outcome in failed if outcome.code != RANK_LOST), None)
    if blamed is None:
        lost = next((outcome for outcome in failed if outcome.said), None)
        return Verdict(1, lost.said[-1].strip() if lost else "the ranks lost each other", resumable=True)
    code = blamed.code or 1
    return Verdict(code, _words(blamed, len(outcomes)), resumable=code != USER_ERROR)


def _words(blamed: Outcome, ranks: int) -> str:
    """Its one line; after a traceback, which is shown whole, a line that says whose it is."""
    if len(blamed.said) == 1:
        return f"rank {blamed.rank} of {ranks}: {blamed.said[0].strip()}"
    return f"{''.join(blamed.said)}rank {blamed.rank} of {ranks} ended with exit code {blamed.code}"


def _signal(number: int) -> str:
    return f"signal {number}, often out of memory" if number == signal.SIGKILL else f"signal {number}"
