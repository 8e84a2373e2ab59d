r"""One grading process: reads tasks as JSON lines, answers each with one JSON line, and may be killed at any moment.

The judge bounds itself by a timer signal, which works only in the main thread of a process: here, and not in the
process that trains. A signal does not interrupt a single long C call (a power tower), so the parent also kills by the
clock.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import resource
import select
import signal
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, Literal

from steerctl.reward.grading.judge import Parsed, Undecided, as_published, equal, parse_answer
from steerctl.reward.grading.qwen import math_equal

Kind = Literal["box", "line", "prose", "gold", "qwen", "default"]
_CPU_SECONDS_PER_TASK = 30
_CLEAR_EVERY = 2000
_CHUNK = 1 << 16
_WHOLE: dict[str, Callable[[str, str], bool]] = {"qwen": math_equal, "default": as_published}


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
        _send(
            replies,
            {"id": task["id"], **_judge(task["kind"], task["gold"], task["answers"], task["relative_tolerance"])},
        )


def _judge(kind: Kind, gold: str, answers: list[str], relative_tolerance: float) -> dict[str, Any]:
    why = kind if kind in _WHOLE else "parser"
    try:
        return {"right": _right(kind, gold, answers, relative_tolerance), "status": "ok", "why": why}
    except Undecided as undecided:
        return {"right": False, "status": undecided.status, "why": undecided.why}
    except MemoryError:
        _clear_caches()
        return {"right": False, "status": "error", "why": "out of memory"}
    except Exception as error:  # noqa: BLE001 (untrusted text: whatever it provokes is a verdict)
        return {"right": False, "status": "error", "why": type(error).__name__}


def _right(kind: Kind, gold: str, answers: list[str], relative_tolerance: float) -> bool:
    if kind in _WHOLE:
        return _WHOLE[kind](answers[0], gold)
    reference = _reference(gold)
    if kind == "gold":
        return bool(reference.expressions)
    readings = [(answer, False) for answer in answers if kind != "prose"]
    readings += [(answer, True) for answer in answers if kind != "box"]
    return any(equal(reference, parse_answer(answer, anywhere=prose), relative_tolerance) for answer, prose in readings)


@lru_cache(maxsize=1024)
def _reference(gold: str) -> Parsed:
    """A reference answer, parsed once for all responses to its problem."""
    try:
        return parse_answer(gold, anywhere=False)
    except Undecided as undecided:
        raise Undecided("error", f"reference answer: {undecided.why}") from None


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
