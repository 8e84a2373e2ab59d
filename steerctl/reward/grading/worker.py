r"""One grading process: reads tasks as JSON lines, answers each with one JSON line, and may be killed at any moment.

math-verify bounds itself with SIGALRM, which works only in the main thread of a process: here, and not in the process
that trains. Its alarms do not interrupt a single long C call (a power tower), so the parent also kills by the clock.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import resource
import select
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

Kind = Literal["box", "line", "prose", "gold"]
_SECONDS = 2
_CPU_SECONDS_PER_TASK = 30
_CLEAR_EVERY = 2000
_CHUNK = 1 << 16


class _Undecided(Exception):
    def __init__(self, status: str, why: str) -> None:
        super().__init__(why)
        self.status = status
        self.why = why


@dataclass(frozen=True, slots=True)
class _Parsed:
    expressions: tuple[Any, ...]


def main(memory_bytes: int) -> None:
    """Serve tasks from standard input until it closes or the parent is gone."""
    replies = os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 1)
    os.dup2(null, 2)
    logging.disable(logging.CRITICAL)  # its time-out warnings print whole responses
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        import math_verify  # noqa: F401, PLC0415 (half a second; only a worker pays it)
    except Exception as error:  # noqa: BLE001 (whatever it is, the parent must hear of it)
        _send(replies, {"id": -1, "status": "error", "why": f"{type(error).__name__}: {error}"})
        return
    _send(replies, {"id": 0, "status": "ok", "why": "ready"})
    for count, line in enumerate(_lines()):
        if count % _CLEAR_EVERY == _CLEAR_EVERY - 1:
            _clear_caches()
        _allow_cpu_time()
        task = json.loads(line)
        _send(replies, {"id": task["id"], **_judge(task["kind"], task["gold"], task["answers"])})


def _judge(kind: Kind, gold: str, answers: list[str]) -> dict[str, Any]:
    try:
        reference = _reference(gold)
        if kind == "gold":
            return {"right": _verify(reference, reference), "status": "ok", "why": "parser"}
        readings = [(answer, False) for answer in answers if kind != "prose"]
        readings += [(answer, True) for answer in answers if kind != "box"]
        for answer, anywhere in readings:
            if _verify(reference, _parse(answer, anywhere=anywhere)):
                return {"right": True, "status": "ok", "why": "parser"}
    except _Undecided as undecided:
        return {"right": False, "status": undecided.status, "why": undecided.why}
    except MemoryError:
        _clear_caches()
        return {"right": False, "status": "error", "why": "out of memory"}
    except Exception as error:  # noqa: BLE001 (untrusted text: whatever it provokes is a verdict)
        return {"right": False, "status": "error", "why": type(error).__name__}
    return {"right": False, "status": "ok", "why": "parser"}


@lru_cache(maxsize=1024)
def _reference(gold: str) -> _Parsed:
    """A reference answer, parsed once for all responses to its problem."""
    try:
        return _parse(gold, anywhere=False)
    except _Undecided as undecided:
        raise _Undecided("error", f"reference answer: {undecided.why}") from None


def _parse(text: str, *, anywhere: bool) -> _Parsed:
    """What math-verify reads: in `text` as one formula, or in prose with an answer somewhere."""
    from math_verify import ExprExtractionConfig, LatexExtractionConfig, parse  # noqa: PLC0415
    from math_verify.errors import TimeoutException  # noqa: PLC0415

    configuration = [LatexExtractionConfig(boxed_match_priority=50 if anywhere else 0), ExprExtractionConfig()]
    source = text if anywhere else f"\\boxed{{{text}}}"
    try:
        return _Parsed(tuple(parse(source, configuration, parsing_timeout=_SECONDS, raise_on_error=True)))
    except TimeoutException:
        raise _Undecided("timeout", f"reading took over {_SECONDS} s") from None


def _verify(gold: _Parsed, answer: _Parsed) -> bool:
    from math_verify import verify  # noqa: PLC0415
    from math_verify.errors import TimeoutException  # noqa: PLC0415

    left, right = list(gold.expressions), list(answer.expressions)
    try:
        equal = verify(left, right, timeout_seconds=_SECONDS, raise_on_error=True)
    except TimeoutException:
        raise _Undecided("timeout", f"comparing took over {_SECONDS} s") from None
    return bool(equal) and not (left and right and _equal_only_by_rounding(left[0], right[0]))


def _equal_only_by_rounding(gold: Any, answer: Any) -> bool:  # noqa: ANN401 (whatever SymPy parsed)
    """math-verify rounds to six decimals, so it takes 2^-99 for 2^-98: small numbers are compared relatively here."""
    if not (getattr(gold, "is_number", False) and getattr(answer, "is_number", False)):
        return False
    try:
        exact, given = complex(gold.evalf(15)), complex(answer.evalf(15))
    except (TypeError, ValueError, ArithmeticError):  # a per cent or an interval: not one number
        return False
    return abs(exact) < 1e-3 and abs(given) < 1e-3 and abs(exact - given) > 1e-4 * abs(exact)


def _lines() -> Iterator[bytes]:
    """Lines of standard input; ends when it closes or when another process has adopted this one."""
    parent, rest = os.getppid(), b""
    while os.getppid() == parent:
        if not select.select([0], [], [], 5.0)[0]:
            continue
        chunk = os.read(0, _CHUNK)
        if not chunk:
            return
        *whole, rest = (rest + chunk).split(b"\n")
        yield from whole


def _send(target: int, reply: dict[str, Any]) -> None:
    data = json.dumps(reply).encode() + b"\n"
    while data:
        data = data[os.write(target, data) :]


def _allow_cpu_time() -> None:
    """A task that outlives its parent ends by itself."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    soft = int(used.ru_utime + used.ru_stime) + _CPU_SECONDS_PER_TASK
    resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.RLIM_INFINITY))
    signal.signal(signal.SIGXCPU, signal.SIG_DFL)


def _clear_caches() -> None:
    """SymPy remembers every expression it has simplified."""
    import sympy.core.cache  # type: ignore[import-untyped]  # noqa: PLC0415 (SymPy ships no types)

    with contextlib.suppress(Exception):
        sympy.core.cache.clear_cache()
    _reference.cache_clear()
