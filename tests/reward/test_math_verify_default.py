"""math-verify as published: its own verdicts, in processes that can be killed."""

import time

from steerctl.reward.math_verify_default import MathVerifyDefault
from steerctl.types import Problem


def test_verdicts_and_hostile_responses():
    opened = MathVerifyDefault(workers=1, time_limit_seconds=8.0, max_characters=200).open()
    cases = [("\\boxed{\\frac12}", "0.5", 1), ("just 42", "42", 1), ("\\boxed{10} \\boxed{42}", "42", 0)]
    cases += [("\\boxed{42}" + " so" * 100, "42", 0), ("\\boxed{\ud800}", "7", 0), ("", "7", 0)]
    verdicts = opened.verify([(Problem("p", (), gold, "s"), text) for text, gold, _ in cases])
    assert [one.value for one in verdicts] == [case[2] for case in cases]
    assert {one.status for one in verdicts} == {"ok"}
    begin = time.perf_counter()
    (verdict,) = opened.verify([(Problem("p", (), "42", "s"), "\\boxed{9^{9^{9^{9}}}}")])
    assert (verdict.value, verdict.status) == (0.0, "timeout")
    assert time.perf_counter() - begin < 12
    opened.close()
