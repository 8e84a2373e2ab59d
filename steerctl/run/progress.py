"""How far sampling is, told to the reporter a few times a second."""

from __future__ import annotations

import time

from steerctl.run.reporter import Reporter

INTERVAL_SECONDS = 0.1


class SamplingProgress:
    """Counts sampled tokens of the running step on this rank; `bound` is the most there can be in training."""

    def __init__(self, reporter: Reporter, bound: int) -> None:
        self._reporter, self._bound = reporter, bound
        self._step, self._done, self._told = 0, 0, 0.0
        self._phase, self._most = "generate", bound

    def begin(self, step: int, phase: str = "generate", bound: int | None = None) -> None:
        """A new step, or another phase of it with a bound of its own, starts."""
        self._step, self._done = step, 0
        self._phase, self._most = phase, self._bound if bound is None else bound

    def __call__(self, tokens: int) -> None:
        """So many more tokens were sampled."""
        self._done += tokens
        now = time.monotonic()
        if now - self._told > INTERVAL_SECONDS:
            self._told = now
            self._reporter.phase(self._step, self._phase, self._done, self._most)
