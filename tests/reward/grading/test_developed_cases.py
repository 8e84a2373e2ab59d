"""The grader on cases it was developed on: labelled cases, rewritten reference answers, math-verify's known errors."""

import json
import os
import re
import sys

import pytest

from steerctl.reward.math_verify import MathVerify
from steerctl.types import Message, Problem
from tests.reward.grading.variants import changed, equal

EVERY = 1 if os.environ.get("STEERCTL_EVERY_VARIANT") else 6
"""Of the questions of six benchmarks every sixth is rewritten, unless the environment asks for all (some minutes)."""
OWN_GOLDS = [
    "540", "-12", "26000", "1234567", "0.375", "-2.5", "\\frac{7}{3}", "-\\frac{1}{8}", "6.02e23", "1.6e-19", "9e4",
    "(3,-\\frac{1}{2})", "[0,2\\pi)", "(-\\infty,4]", "2\\sqrt{5}+1", "x^2-3x+2", "\\{1,4,9\\}", "2,-7",
    "\\begin{pmatrix}1\\\\-2\\end{pmatrix}", "\\text{Tuesday}", "y=3x-1",
]  # fmt: skip
# Verdicts of math-verify 0.9 with its defaults that no mathematician would give: response, reference answer, ours.
KNOWN_ERRORS = [
    ("\\boxed{\\frac{1}{2^{99}}}", "\\frac{1}{2^{98}}", 0.0),
    ("\\boxed{0.0000001}", "0.0000002", 0.0),
    ("\\boxed{(2^{-99}, 1)}", "(2^{-98}, 1)", 0.0),
    ("\\boxed{\\{1,2\\}}", "(1,2)", 0.0),
    ("\\boxed{(1,2)}", "\\{1,2\\}", 0.0),
    ("\\boxed{1e5}", "100000", 1.0),
    ("\\boxed{100000}", "1e5", 1.0),
    ("\\boxed{x > 5}", "(5,\\infty)", 1.0),
    ("\\boxed{(5,\\infty)}", "x > 5", 1.0),
    ("\\boxed{10} and then \\boxed{42}", "42", 1.0),
    ("\\boxed{10} and then \\boxed{42}", "\\{10,42\\}", 0.0),
    ("just 42", "42", 0.0),
    ("\\boxed{\\frac{2}{3}E_{1}+\\frac{2}{3}E_{2}}", "\\frac{1}{3}E_{1}+\\frac{2}{3}E_{2}", 0.0),
    ("\\boxed{c^2(\\gamma^2-2)}", "c^2(\\gamma^2-1)", 0.0),
    ("\\boxed{12 @ 5}", "5", 0.0),
    ("\\boxed{101_2}", "101_3", 0.0),
    ("\\boxed{[-\\infty, 3)}", "(-\\infty, 3)", 0.0),
]


@pytest.fixture(scope="module")
def verifier():
    opened = MathVerify(workers=1).open()
    yield opened
    opened.close()


def problem(gold, prompt=(), **info):
    return Problem("p", prompt, gold, "s", info)


def graded(verifier, golds, rewrite):
    """(variant, reference answer, answer, verdict) of every way `rewrite` knows to write the reference answers."""
    cases = [(name, gold, text) for gold in golds for name, text in rewrite(gold).items()]
    verdicts = verifier.verify([(problem(gold), f"\\boxed{{{text}}}") for _, gold, text in cases])
    return [(*case, verdict) for case, verdict in zip(cases, verdicts, strict=True)]


@pytest.fixture(scope="module")
def questions(shared_math):
    return [json.loads(line) for line in (shared_math / "steer_bench_clean.jsonl").read_text().splitlines()]


def test_own_reference_answers_rewritten(verifier):
    assert [one for one in graded(verifier, OWN_GOLDS, equal) if one[-1].value != 1.0] == []


def test_own_reference_answers_changed(verifier):
    found = graded(verifier, OWN_GOLDS, changed)
    assert len(found) > 50
    assert [one for one in found if one[-1].value != 0.0] == []


def test_known_errors_of_math_verify_do_not_pass(verifier):
    verdicts = verifier.verify([(problem(gold), text) for text, gold, _ in KNOWN_ERRORS])
    wrong = [(case, one) for case, one in zip(KNOWN_ERRORS, verdicts, strict=True) if one.value != case[2]]
    assert wrong == []


def test_per_cent_means_what_the_question_asks(verifier):
    asks, silent = (Message("user", "By what percent did it grow?"),), (Message("user", "By what factor did it grow?"),)
    cases = [(asks, "5", 1.0), (asks, "0.05", 1.0), (silent, "5", 0.0), (silent, "0.05", 1.0), ((), "5", 1.0)]
    verdicts = verifier.verify([(problem(gold, prompt), "\\boxed{5\\%}") for prompt, gold, _ in cases])
    assert [one.value for one in verdicts] == [case[2] for case in cases]


def test_labelled_cases(shared_math, capsys):
    """Cases from other projects' own test suites; core leaves out those that depend on a convention."""
    rows = [json.loads(line) for line in (shared_math / "grader_dev.jsonl").read_text().splitlines()]
    core = [row for row in rows if row["core"]]
    opened = MathVerify(where="anywhere", workers=1).open()
    texts = [row["prediction"] if row["kind"] == "completion" else f"\\boxed{{{row['prediction']}}}" for row in core]
    verdicts = opened.verify([(problem(row["gold"]), text) for row, text in zip(core, texts, strict=True)])
    opened.close()
    right = sum((one.value == 1.0) == row["expected"] for row, one in zip(core, verdicts, strict=True))
    false = [row["id"] for row, one in zip(core, verdicts, strict=True) if one.value == 1.0 and not row["expected"]]
    negatives = sum(not row["expected"] for row in core)
    with capsys.disabled():
        sys.stdout.write(f"\ncore accuracy {right}/{len(core)} = {right / len(core):.3f}, false positives {false}\n")
    assert len(core) == 292
    assert right / len(core) >= 0.95
    assert len(false) <= negatives / 100


def test_every_reference_answer_of_six_benchmarks_accepts_itself(verifier, questions):
    problems = [Problem(row["id"], (), row["golds"][0], "s", {"golds": row["golds"]}) for row in questions]
    verifier.check_golds(problems)
    pairs = [(one, f"\\boxed{{{gold}}}") for one in problems for gold in one.info["golds"]]
    assert len(problems) == 1547
    assert [pair for pair, one in zip(pairs, verifier.verify(pairs), strict=True) if one.value != 1.0] == []
    published = [(problem(row["steer_gold"]), f"\\boxed{{{row['steer_gold']}}}") for row in questions]
    assert [pair for pair, one in zip(published, verifier.verify(published), strict=True) if one.value != 1.0] == []


def test_reference_answers_of_six_benchmarks_rewritten(verifier, questions, capsys):
    powers = [row["steer_gold"] for row in questions if re.fullmatch(r"-?[\d.]+e[-+]?\d+", row["steer_gold"])]
    assert len(powers) == 58
    golds = sorted({row["steer_gold"] for row in questions[::EVERY]} | set(powers))
    found = graded(verifier, golds, equal)
    missed = [one for one in found if one[-1].value != 1.0]
    with capsys.disabled():
        sys.stdout.write(f"\nrewritten reference answers accepted: {len(found) - len(missed)} of {len(found)}\n")
    assert len(missed) <= len(found) / 100, missed
    of_powers = [one for one in missed if one[1] in powers]
    assert of_powers == []


def test_reference_answers_of_six_benchmarks_changed(verifier, questions, capsys):
    found = graded(verifier, sorted({row["steer_gold"] for row in questions}), changed)
    passed = [one for one in found if one[-1].value != 0.0]
    with capsys.disabled():
        sys.stdout.write(f"\nchanged reference answers rejected: {len(found) - len(passed)} of {len(found)}\n")
    assert passed == []
