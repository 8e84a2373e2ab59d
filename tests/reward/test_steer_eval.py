"""The graders of published runs beside ours, on answers where they are known to differ."""

import psutil
import pytest

from steerctl.plugins import registry
from steerctl.types import Problem

KINDS = ("dapo_strict", "strict", "steer_eval", "math_verify_default", "math_verify")
# Answer, reference answer, verdicts in the order of KINDS.
DISAGREEMENTS = [
    ("34", "34", (1, 1, 1, 1, 1)),
    (" 34 ", "34", (0, 0, 1, 1, 1)),
    ("34.", "34", (0, 0, 1, 0, 1)),
    ("26001", "26000", (0, 0, 1, 0, 0)),
    ("[0,1)", "(0,1)", (0, 0, 1, 0, 0)),
    ("4.5 \\times 10^{33}", "4.5e33", (0, 0, 0, 0, 1)),
    ("1{,}234", "1234", (0, 0, 0, 1, 1)),
    ("0.0000001", "0.0000002", (0, 0, 0, 1, 0)),
    ("\\{1,2\\}", "(1,2)", (0, 0, 1, 1, 0)),
    ("\\sqrt{8}", "2\\sqrt{2}", (0, 0, 1, 1, 1)),
    ("2x", "3x", (0, 0, 0, 0, 0)),
]


@pytest.fixture(scope="module")
def verifiers():
    opened = {kind: registry("steerctl.reward")[kind]().open() for kind in KINDS}
    yield opened
    for one in opened.values():
        one.close()


def problem(gold, **info):
    return Problem("p", (), gold, "s", info)


def test_where_published_graders_differ(verifiers):
    pairs = [(problem(gold), f"so it is \\boxed{{{answer}}}") for answer, gold, _ in DISAGREEMENTS]
    found = zip(*([int(one.value) for one in verifiers[kind].verify(pairs)] for kind in KINDS), strict=True)
    assert list(found) == [case[2] for case in DISAGREEMENTS]


def test_reading_windows(verifiers):
    """The strict part reads 100 characters, the Qwen part 300; prose counts there, and boxes are merged."""
    far = "\\boxed{7}" + " so" * 40
    farther = "\\boxed{7}" + " so" * 120
    pairs = [(problem("7"), text) for text in (far, farther, "it is 7", "\\boxed{8} \\boxed{7}")]
    found = {kind: [int(one.value) for one in verifiers[kind].verify(pairs)] for kind in KINDS}
    assert found == {
        "dapo_strict": [0, 0, 0, 1],
        "strict": [1, 1, 0, 1],
        "steer_eval": [1, 0, 1, 1],
        "math_verify_default": [1, 1, 1, 0],
        "math_verify": [1, 1, 0, 1],
    }


def test_statuses(verifiers):
    pairs = [(problem("7"), "no number here"), (problem("7"), "\\boxed{\ud800}"), (problem("7"), "")]
    verdicts = verifiers["steer_eval"].verify(pairs)
    assert [one.value for one in verdicts] == [0.0] * 3
    assert [one.status for one in verdicts] == ["no_answer", "ok", "no_answer"]
    assert verdicts[1].answer == "?"
    assert verifiers["strict"].verify(pairs)[0].status == "no_answer"


def test_closing_ends_the_processes():
    opened = registry("steerctl.reward")["steer_eval"](workers=1).open()
    opened.verify([(problem("x+1"), "\\boxed{1+x}")])
    (pid,) = opened.pool.pids()
    opened.close()
    opened.close()
    assert not psutil.pid_exists(pid)
