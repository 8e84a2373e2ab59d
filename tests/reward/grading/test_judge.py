"""Parsed answers compared, in this process: rounding corrected, rounded decimals read as such."""

import contextlib
import signal
import time

import pytest

from steerctl.reward.grading import judge
from steerctl.reward.grading.judge import Undecided, as_published, equal, parse_answer


def same(answer, gold, tolerance=1e-6):
    return equal(parse_answer(gold, anywhere=False), parse_answer(answer, anywhere=False), tolerance)


@pytest.mark.parametrize(
    ("answer", "gold", "expected"),
    [
        ("\\frac{1}{2}", "0.5", True),
        ("2^{-99}", "2^{-98}", False),
        ("(2^{-99},1)", "(2^{-98},1)", False),
        ("\\{1,2^{-99}\\}", "\\{2^{-98},1\\}", False),
        ("40\\pi", "125.663", True),
        ("40\\pi", "125.66", True),
        ("40\\pi", "125.6", True),
        ("40\\pi", "126", False),
        ("\\sqrt{2}", "1.41", False),
        ("\\frac{81931}{500}", "163.861", False),
        ("1.41421", "\\sqrt{2}", True),
        ("1.4142", "\\sqrt{2}", False),
        ("1.41422", "\\sqrt{2}", False),
        ("2.314814814815 \\times 10^{-3}", "\\frac{1}{432}", True),
        ("(\\sqrt{3},\\frac13)", "(1.732,0.3333)", True),
        ("x+\\sqrt{2}y", "x+1.414y", True),
        ("x+\\sqrt{3}y", "x+1.414y", False),
        ("i(2-i)", "1+2i", True),
        ("x>5", "(5,\\infty)", True),
        ("\\lambda_{\\text{red}}/\\sqrt{3}", "\\lambda_{\\text{red}}/\\sqrt{2}", False),
        ("E_{1}+E_{2}", "E_{2}+E_{1}", True),
        ("E_{1}-E_{2}", "E_{2}-E_{1}", False),
        ("\\gamma(x+1)", "\\gamma x+\\gamma", True),
        ("y=2x+1", "y=2x+2", False),
        ("[1,2)", "[1,2]", False),
    ],
)
def test_equal(answer, gold, expected):
    assert same(answer, gold) is expected


def test_the_tolerance_is_for_decimals_that_are_no_integers():
    assert same("\\frac{33341}{10^5}", "0.3334", tolerance=1e-4) is True
    assert same("\\frac{33341}{10^5}", "0.3334", tolerance=1e-6) is False
    assert same("\\frac{52002}{2}", "26000", tolerance=1e-2) is False


def test_prose_is_searched():
    gold = parse_answer("1000.99", anywhere=False)
    assert equal(gold, parse_answer("not 10 but 1,000.99 in all", anywhere=True), 1e-6) is True
    assert equal(parse_answer("7", anywhere=False), parse_answer("it is +7", anywhere=True), 1e-6) is True


def test_time_is_limited_and_the_signal_put_back():
    before = signal.getsignal(signal.SIGPROF)
    begin = time.process_time()
    with pytest.raises(Undecided, match="working took over 2 s"), judge._limited("working"):
        while time.process_time() < begin + 10:
            with contextlib.suppress(Exception):  # as SymPy does
                sum(range(1000))
    assert time.process_time() - begin < 4
    assert signal.getsignal(signal.SIGPROF) is before
    assert signal.getitimer(signal.ITIMER_PROF)[0] == 0


def test_as_published_has_its_known_errors():
    assert as_published("\\boxed{0.0000001}", "0.0000002") is True
    assert as_published("\\boxed{10} \\boxed{42}", "42") is False
    assert as_published("just 42", "42") is True
