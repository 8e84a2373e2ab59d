"""Run code under judgement in this process, which is a fork of the server's, and report what it returned.

Nothing here decides anything: what is reported is text from an untrusted process, compared elsewhere. Inputs come in;
expected outputs never do.

The job is a line of JSON (mode, setup, code, entry) and, after it, the calls:
    call    each {"a": [args], "k": {name: value}} or {"x": "expression over candidate"}, optionally {"v": view}
    stdin   the program runs as __main__, reads descriptor 0, writes descriptor 1
    assert  the text after the line is run after the code; then `nonce` is reported: weak, the code shares the process
The report is one line per call: the encoded value, or {"e": [exception, text]}, after which nothing follows.
"""

from __future__ import annotations

import json
import os
import sys
import types
from collections.abc import Callable
from typing import Any

from . import codec

MAX_TEXT = 300
MAX_NODES = 100_000
_FLUSH = 1 << 16


def run(job: bytes, report: int) -> int:
    """Exit status: 0 after all calls, 1 after an exception, which is reported."""
    line, _, rest = job.partition(b"\n")
    task = json.loads(line)
    lines = _Lines(report)
    try:
        _run(task, rest, lines)
    except BaseException as error:  # noqa: BLE001 (SystemExit and what the code raises are findings)
        if task["mode"] == "stdin" and isinstance(error, SystemExit) and error.code in (None, 0):
            return _end(lines)
        lines.add(json.dumps({"e": [type(error).__name__, _text(error)]}))
        _end(lines)
        return 1
    return _end(lines)


def _run(task: dict[str, Any], rest: bytes, lines: _Lines) -> None:
    name = "__main__" if task["mode"] == "stdin" else "solution"
    module = types.ModuleType(name)
    sys.modules[name] = module
    space = module.__dict__
    if task["setup"]:
        exec(compile(task["setup"], "<setup>", "exec"), space)  # noqa: S102 (this is what the sandbox is for)
    exec(compile(task["code"], "<solution>", "exec"), space)  # noqa: S102 (likewise)
    if task["mode"] == "call":
        _call(_entry(task["entry"], space), json.loads(rest), space, lines, task["longest"])
    elif task["mode"] == "assert":
        if task["entry"]:
            space["candidate"] = _entry(task["entry"], space)
        exec(compile(rest, "<test>", "exec"), space)  # noqa: S102 (likewise)
        lines.add(json.dumps(task["nonce"]))


def _call(
    candidate: Callable[..., Any], calls: list[dict[str, Any]], space: dict[str, Any], lines: _Lines, longest: int
) -> None:
    space["candidate"] = candidate
    for call in calls:
        if "x" in call:
            value = eval(call["x"], space)  # noqa: S307 (our expression; the name it calls is theirs)
        else:
            words = {key: codec.untagged(each) for key, each in call.get("k", {}).items()}
            value = candidate(*[codec.untagged(each) for each in call["a"]], **words)
        line = codec.encode(_VIEWS[call["v"]](value) if "v" in call else value)
        lines.add(codec.TOO_LONG if longest and len(line) > longest else line)


def _entry(entry: str, space: dict[str, Any]) -> Callable[..., Any]:
    """`f`, or `Solution().f`; where there is no class Solution, a plain function of that name will do."""
    if entry.startswith("Solution().") and "Solution" not in space:
        entry = entry.removeprefix("Solution().")
    found: Callable[..., Any] = eval(entry, space)  # noqa: S307 (likewise)
    return found


def _linked(node: Any) -> list[Any]:  # noqa: ANN401 (a node of theirs)
    values: list[Any] = []
    while node is not None and len(values) < MAX_NODES:
        values.append(node.val)
        node = node.next
    return values


def _tree(root: Any) -> list[Any]:  # noqa: ANN401 (a node of theirs)
    """Level by level, None for a missing child, none at the end."""
    values: list[Any] = []
    level = [root]
    while level and len(values) < MAX_NODES:
        node = level.pop(0)
        values.append(None if node is None else node.val)
        if node is not None:
            level += [node.left, node.right]
    while values and values[-1] is None:
        values.pop()
    return values


_VIEWS: dict[str, Callable[[Any], Any]] = {"linked": _linked, "tree": _tree}


def _text(error: BaseException) -> str:
    try:
        return str(error)[:MAX_TEXT]
    except BaseException:  # noqa: BLE001 (its own __str__ may do anything)
        return ""


def _end(lines: _Lines) -> int:
    """Flush what was printed and what is reported."""
    try:
        sys.stdout.flush()
    except BaseException:  # noqa: BLE001 (closed or replaced by the code)
        lines.flush()
        return 1
    lines.flush()
    return 0


class _Lines:
    """Lines written to a descriptor in large pieces."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor, self._parts, self._size = descriptor, list[str](), 0

    def add(self, line: str) -> None:
        self._parts.append(line + "\n")
        self._size += len(line)
        if self._size >= _FLUSH:
            self.flush()

    def flush(self) -> None:
        data = memoryview("".join(self._parts).encode("ascii"))
        self._parts, self._size = [], 0
        while data:
            data = data[os.write(self._descriptor, data) :]
