"""Programs as answers: which block is the program, what each verdict says, references checked."""
# ruff: noqa: E501 (one case a line)

import pytest

from steerctl.errors import DataError, UserError
from steerctl.reward.code import Code, extract_code
from steerctl.reward.sandbox.probe import probe
from steerctl.types import Problem

pytestmark = pytest.mark.skipif(probe().tier is None, reason=f"nothing confines programs here: {probe().findings}")

SQUARE = {"tests": [{"kind": "call", "args": [each], "expected": each * each} for each in (2, 3)], "entry_point": "f"}


@pytest.fixture(scope="module")
def verifier():
    opened = Code(workers=1, cpu_seconds=1, memory_mib=256).open()
    yield opened
    opened.close()


def problem(name="p", gold="", **info):
    return Problem(name, (), gold, "s", SQUARE | info)


def block(code, mark="python"):
    return f"Here it is:\n```{mark}\n{code}\n```\nThat is all."


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("```python\na\n```", "a\n"), ("```\na\n```", "a\n"), ("~~~py\na\n~~~", "a\n"), ("  ```python\na\n  ```", "a\n"),
        ("```python\na\n```\nand\n```python\nb\n```", "b\n"), ("```python\na\n```\n```text\n1\n```", "a\n"),
        ("```python\na\n```\n```python\nb", "a\n"), ("<think>```python\na\n```</think>```python\nb\n```", "b\n"),
        ("````python\nx = '''\n```\n'''\n````", "x = '''\n```\n'''\n"), ('```python title="x"\na\n```', "a\n"),
        ("```Python\n\n```", "\n"),
    ],
)  # fmt: skip
def test_the_program_is_the_last_closed_block(text, code):
    assert extract_code(text)[0] == code


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("def f(): pass", "no_answer"), ("", "no_answer"), ("```python\nx", "no_answer"), ("```rust\nfn\n```", "no_answer"),
        ("```python\na\n```</think>", "no_answer"), ("```python\n" + "x" * 100_001 + "\n```", "too_long"),
        ("`" * 100_000, "no_answer"), ("```\n" * 50_001, "no_answer"),
    ],
)  # fmt: skip
def test_no_program(text, status):
    found = extract_code(text)
    assert (found[0], found[1]) == (None, status) or found[0] == ""


def test_each_outcome_has_its_status(verifier):
    programs = {
        "def f(x): return x * x": (1.0, "ok"),
        "def f(x): return x": (0.0, "ok"),
        "def f(x): raise ValueError": (0.0, "ok"),
        "def f(x):\n  while True: pass": (0.0, "timeout"),
        "def f(x): return [0] * 10**9": (0.0, "oom"),
        "import ctypes\nctypes.string_at(0)": (0.0, "crash"),
    }
    pairs = [(problem(), block(code)) for code in programs]
    verdicts = verifier.verify([*pairs, (problem(), "no code")])
    assert [(each.value, each.status) for each in verdicts] == [*programs.values(), (0.0, "no_answer")]
    assert verdicts[0].answer == "def f(x): return x * x\n"
    assert verdicts[1].why == "call 1: returned 2 (0/2)"


def test_one_verdict_each_in_order_whatever_the_batch(verifier):
    pairs = [(problem(str(n % 3)), block(f"def f(x): return x * x * {n % 2}")) for n in range(24)]
    assert [each.value for each in verifier.verify(pairs)] == [float(n % 2) for n in range(24)]
    assert verifier.verify([]) == []


def test_text_that_utf8_cannot_hold_is_judged_and_stored(verifier):
    (verdict,) = verifier.verify([(problem(), block("x = '\ud800'\ndef f(x): return '\ud800'"))])
    assert verdict.value == 0.0
    verdict.answer.encode()
    verdict.why.encode()


def test_a_problem_without_tests_is_an_error_not_a_wrong_answer(verifier):
    (verdict,) = verifier.verify([(Problem("q", (), "", "s"), block("x = 1"))])
    assert (verdict.value, verdict.status, verdict.why) == (0.0, "error", "unusable tests: the problem has no tests")


def test_references_are_checked_at_the_door(verifier):
    good = problem("good", "def f(x): return x * x")
    bad = problem("bad", "def f(x): return x")
    said = problem(
        "said", "def f(x): return x * x", tests=[{"kind": "call", "args": [2]}], assertions="assert f(2) == 5"
    )
    verifier.check_golds([good])
    assert [each.problem_id for each in verifier.failures([good, bad, said])] == ["bad", "said"]
    with pytest.raises(DataError, match="1 reference solutions fail their own tests, first bad: call 1: returned 2"):
        verifier.check_golds([good, bad])


def test_a_tier_can_be_asked_for():
    tier = probe().tier
    opened = Code(tier=tier, workers=1).open()
    assert opened.tier == tier
    opened.close()


def test_it_refuses_where_nothing_holds(monkeypatch):
    def nothing(*_arguments, **_named):
        raise UserError("nothing here can confine untrusted code")

    monkeypatch.setattr("steerctl.reward.code.choose", nothing)
    with pytest.raises(UserError, match="nothing here"):
        Code().open()
