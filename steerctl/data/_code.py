"""What the code data sets share: rows of JSON lines, and assertions read as calls with an expected value."""

from __future__ import annotations

import ast
import gzip
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from steerctl.data import ProblemSet
from steerctl.errors import DataError
from steerctl.types import Message, Problem

INSTRUCTION = "Answer with the complete program in one ```python code block."
_NODES = {"list_node": "linked", "tree_node": "tree"}
_SAME = {"is_same_list": "linked", "is_same_tree": "tree"}


def rows(path: str, needed: Sequence[str]) -> Iterator[Mapping[str, Any]]:
    """Objects of a .jsonl or .jsonl.gz file. Raises DataError, naming file and line."""
    file = Path(path).expanduser()
    if not file.is_file():
        raise DataError(f"{path}: no such file; name a .jsonl or .jsonl.gz file")
    opener = gzip.open if file.suffix == ".gz" else open
    try:
        with opener(file, "rt", encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield _row(f"{path}:{number}", line, needed)
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as JSON lines: {str(error)[:200]}") from error


def _row(place: str, line: str, needed: Sequence[str]) -> Mapping[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{place}: not a line of JSON: {str(error)[:200]}") from error
    missing = [name for name in needed if not isinstance(row, dict) or name not in row]
    if missing:
        raise DataError(f"{place}: {', '.join(missing)} missing; is this the right data set?")
    found: Mapping[str, Any] = row
    return found


def ask(text: str) -> tuple[Message, ...]:
    """The prompt of a code problem: one user turn, instruction included."""
    return (Message("user", text),)


def selected(path: str, problems: list[Problem], broken: Mapping[str, str], *, keep_broken: bool) -> ProblemSet:
    """The problems, without those whose reference solution is known to fail. Raises DataError if none is left."""
    kept = [each for each in problems if keep_broken or each.id not in broken]
    if not kept:
        raise DataError(f"{path}: there are no problems in it")
    left_out = len(problems) - len(kept)
    return ProblemSet(kept, {"broken_reference": left_out} if left_out else {})


def head(program: str, entry: str) -> str:
    """What stands before the definition of `entry`: imports and helper functions that a response may rely on."""
    at = program.rfind(f"\ndef {entry}(")
    return program[: at + 1] if at >= 0 else ""


@dataclass(frozen=True, slots=True)
class Converted:
    """Calls with an expected value, and the assertions that are not of that form."""

    calls: list[dict[str, Any]]
    rest: list[str]


def from_assertions(statements: Sequence[ast.stmt], name: str) -> Converted:
    """`assert name(args) == literal` as calls whose results are compared outside the sandbox.

    Also `assert is_same_list(name(args), list_node(literal))` and the same for trees, and arguments that only build
    such a list or tree. Anything else is kept as it is.
    """
    calls: list[dict[str, Any]] = []
    rest: list[str] = []
    for statement in statements:
        call = _call(statement.test, name) if isinstance(statement, ast.Assert) else None
        if call is None:
            rest.append(ast.unparse(statement))
        else:
            calls.append(call)
    return Converted(calls, rest)


def body_of_check(source: str) -> list[ast.stmt]:
    """The statements of `def check(candidate):`. Raises ValueError."""
    functions = ast.parse(source).body
    if len(functions) != 1 or not isinstance(functions[0], ast.FunctionDef):
        raise ValueError("the test is not one function")
    return functions[0].body


def _call(test: ast.expr, name: str) -> dict[str, Any] | None:
    if isinstance(test, ast.Compare) and len(test.ops) == 1 and isinstance(test.ops[0], ast.Eq):
        return _with_expected(test.left, test.comparators[0], name, None)
    if isinstance(test, ast.Call) and isinstance(test.func, ast.Name) and test.func.id in _SAME and len(test.args) == 2:
        return _with_expected(test.args[0], test.args[1], name, _SAME[test.func.id])
    return None


def _with_expected(left: ast.expr, right: ast.expr, name: str, view: str | None) -> dict[str, Any] | None:
    if not (isinstance(left, ast.Call) and isinstance(left.func, ast.Name) and left.func.id == name):
        return None
    if view is not None and isinstance(right, ast.Call) and _NODES.get(_name(right.func)) == view:
        right = right.args[0]
    shown = {} if view is None else {"view": view}
    words = {each.arg: each.value for each in left.keywords}
    try:
        expected = literal(right)
        if None in words:
            return None
        plain = {str(key): literal(value) for key, value in words.items()}
        return {
            "kind": "call",
            "args": [literal(each) for each in left.args],
            "kwargs": plain,
            "expected": expected,
            **shown,
        }
    except ValueError:
        pass
    try:
        expected = literal(right)
    except ValueError:
        return None
    if not all(_builds_a_node(each) for each in (*left.args, *words.values())):
        return None
    renamed = ast.unparse(ast.Call(ast.Name("candidate", ast.Load()), left.args, left.keywords))
    return {"kind": "call", "expression": renamed, "expected": expected, **shown}


def _builds_a_node(argument: ast.expr) -> bool:
    """A literal, or a list or tree made of one."""
    if isinstance(argument, ast.Call) and _name(argument.func) in _NODES:
        return all(_builds_a_node(each) for each in argument.args) and not argument.keywords
    if isinstance(argument, ast.List):
        return all(_builds_a_node(each) for each in argument.elts)
    try:
        literal(argument)
    except ValueError:
        return False
    return True


def _name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else ""


def literal(node: ast.expr) -> Any:  # noqa: ANN401 (any literal)
    """The value of a literal, of `inf`, or of arithmetic on numbers. Raises ValueError."""
    if isinstance(node, ast.Name) and node.id == "inf":
        return math.inf
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and _name(node.operand) == "inf":
        return -math.inf
    return ast.literal_eval(node)
