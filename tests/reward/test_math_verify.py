"""Mathematical equality: accuracy on labelled cases, hostile input, speed, reference answers that cannot be read."""

import sys
import time

import psutil
import pytest

from steerctl.errors import DataError
from steerctl.reward.math_verify import MathVerify
from steerctl.types import Problem

# Worked by hand; right answers in other spellings, and near misses.
OWN_CASES = [
    ("\\frac{1}{2}", "0.5", 1.0),
    ("\\sqrt{8}", "2\\sqrt{2}", 1.0),
    ("(x-1)(x+1)", "x^2-1", 1.0),
    ("\\{2,1\\}", "\\{1,2\\}", 1.0),
    ("x \\in [0.5, \\infty)", "[1/2, \\infty)", 1.0),
    ("\\begin{pmatrix} 1 & 1/2 \\end{pmatrix}", "\\begin{pmatrix} 1 & 0.5 \\end{pmatrix}", 1.0),
    ("\\frac{1}{2}\\%", "0.005", 1.0),
    ("(1, 3)", "(1,3)", 1.0),
    ("\\frac{3}{4}", "\\frac{2}{3}", 0.0),
    ("(3,1)", "(1,3)", 0.0),
    ("[1,3]", "(1,3)", 0.0),
    ("x^3-1", "x^2-1", 0.0),
    ("-\\sqrt{2}", "\\sqrt{2}", 0.0),
    ("\\frac{1}{2^{99}}", "\\frac{1}{2^{98}}", 0.0),
    ("1, 2", "1, 3", 0.0),
]
HOSTILE = [
    "9^{9^{9^{9}}}",
    "\\binom{10^6}{5\\cdot 10^5}",
    "1" * 100_000,
    "7" * 4_000 + "^{9}",
    "{" * 2_000 + "}" * 2_000,
    "{" * 5_000,
    "\\boxed{" * 5_000,
    "\x00",
    "\ud800",
    "\U0001f600",
    "",
    "1 " * 2_000,
]


@pytest.fixture(scope="module")
def verifier():
    opened = MathVerify().open()
    yield opened
    opened.close()


def problem(gold, name="p"):
    return Problem(name, (), gold, "s")


def boxed(answer):
    return f"The answer is $\\boxed{{{answer}}}$."


def test_own_cases(verifier):
    verdicts = verifier.verify([(problem(gold), boxed(answer)) for answer, gold, _ in OWN_CASES])
    wrong = [(case, verdict) for case, verdict in zip(OWN_CASES, verdicts, strict=True) if verdict.value != case[2]]
    assert wrong == []
    assert {verdict.status for verdict in verdicts} == {"ok"}


def test_only_the_last_box_counts(verifier):
    forty_two, pair = problem("42"), problem("\\{10,42\\}")
    text = "\\boxed{10} and then \\boxed{42}"
    assert [one.value for one in verifier.verify([(forty_two, text), (pair, text)])] == [1.0, 0.0]


def test_without_a_box(verifier):
    (verdict,) = verifier.verify([(problem("42"), "it is 42")])
    assert (verdict.value, verdict.answer, verdict.status, verdict.why) == (0.0, None, "no_answer", "no box")
    with_line = MathVerify(where="answer_line").open()
    assert [one.value for one in with_line.verify([(problem("42"), "Answer: 42"), (problem("42"), "it is 42")])] == [
        1,
        0,
    ]
    assert with_line.pool.pids() == []


def test_the_deciding_step_is_named(verifier):
    answers = ["42", "42.0", "4.2e1", "42\\%", "\\frac{84}{2}", "42" * 3000]
    verdicts = verifier.verify([(problem("42"), boxed(answer)) for answer in answers])
    assert [one.why for one in verdicts[:5]] == ["integers", "numbers", "numbers", "per cent", "parser"]
    assert verdicts[5].status == "too_long"
    assert verdicts[3].answer == "42\\%"


def test_hostile_answers_get_one_verdict_each():
    """Two seconds inside the worker, three by the clock: no answer costs more, and each at most one worker."""
    opened = MathVerify(time_limit_seconds=3.0).open()
    easy = [(problem("\\frac{1}{2}"), boxed(f"\\frac{{{n}}}{{{2 * n}}}")) for n in range(1, 11)]
    hostile = [(problem("42"), boxed(answer)) for answer in HOSTILE]
    begin = time.perf_counter()
    verdicts = opened.verify(easy + hostile)
    seconds = time.perf_counter() - begin
    assert [one.value for one in verdicts] == [1.0] * 10 + [0.0] * len(HOSTILE)
    assert all(one.answer is None or one.answer.encode() is not None for one in verdicts)
    assert {one.status for one in verdicts[10:]} >= {"timeout", "too_long", "ok"}
    assert opened.pool.replaced <= len(HOSTILE)
    assert seconds < 3.0 * len(HOSTILE)
    children = opened.pool.pids()
    opened.close()
    assert not any(psutil.pid_exists(pid) for pid in children)


def test_integer_answers_are_quick_and_start_no_process(capsys):
    opened = MathVerify().open()
    prose = "We see that {this} is so. " * 300
    pairs = [(problem(str(n)), prose + boxed(str(n + n % 2))) for n in range(4096)]
    best = min(_seconds(lambda: opened.verify(pairs)) for _ in range(5))
    assert sum(one.value for one in opened.verify(pairs)) == 2048
    assert opened.pool.pids() == []
    with capsys.disabled():
        sys.stdout.write(f"\n4,096 integer answers in {best * 1e3:.0f} ms: {4096 / best:,.0f} per s\n")
    assert best < 0.1


def _seconds(call):
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def test_equal_questions_are_asked_once(verifier, monkeypatch):
    asked = []
    run = verifier.pool.run
    monkeypatch.setattr(verifier.pool, "run", lambda tasks: asked.extend(tasks) or run(tasks))
    verdicts = verifier.verify([(problem("0.5", str(n)), boxed("\\frac{2}{4}")) for n in range(50)])
    assert len(asked) == 1
    assert [one.value for one in verdicts] == [1.0] * 50


def test_reference_answers_that_cannot_be_verified_are_an_error(verifier):
    verifier.check_golds([problem(gold) for gold in ("42", "-3", "4.5e33", "\\frac{1}{2}", "(1,2)", "east", "8$,$4")])
    with pytest.raises(DataError, match=r"2 reference answers .* first p/1: ''"):
        verifier.check_golds([problem("1"), problem("", "p/1"), problem("a}b", "p/2")])
    (verdict,) = verifier.verify([(problem("a}b"), boxed("x"))])
    assert (verdict.value, verdict.status) == (0.0, "error")


def test_every_training_answer_verifies_itself_without_a_worker(shared_math):
    import pyarrow.parquet as pq

    models = pq.read_table(shared_math / "DAPO-Math-17k.parquet", columns=["reward_model"])["reward_model"].to_pylist()
    golds = [problem(model["ground_truth"]) for model in models]
    opened = MathVerify().open()
    opened.check_golds(golds)
    assert all(one.value == 1.0 for one in opened.verify([(gold, boxed(gold.gold)) for gold in golds]))
    assert opened.pool.pids() == []


def test_several_reference_answers(verifier):
    either = Problem("p", (), "\\frac{1}{2}", "s", {"golds": ["\\frac{1}{2}", "30^\\circ", "east"]})
    texts = ["0.5", "30", "\\text{east}", "\\frac{2}{4}", "31", "west", "\\frac{1}{3}"]
    verdicts = verifier.verify([(either, boxed(text)) for text in texts])
    assert [one.value for one in verdicts] == [1, 1, 1, 1, 0, 0, 0]
    with pytest.raises(DataError, match=r"1 reference answers .* first p/3: 'a}b'"):
        verifier.check_golds([Problem("p/3", (), "1", "s", {"golds": ("1", "a}b")})])


def test_a_problem_sets_its_tolerance(verifier):
    """Decimals that are no integers, written as a number or as a formula; integers stay exact."""
    cases = [
        ("0.33341", "0.3334", 1.0),
        ("3.3341e5", "3.334e5", 1.0),
        ("26001", "26000", 0.0),
        ("0.3336", "0.3334", 0.0),
    ]
    cases += [("26001.0", "26000.0", 0.0), ("\\frac{33341}{10^5}", "0.3334", 1.0), ("\\frac{52002}{2}", "26000", 0.0)]
    loose = [(Problem("p", (), gold, "s", {"relative_tolerance": 1e-4}), boxed(text)) for text, gold, _ in cases]
    assert [one.value for one in verifier.verify(loose)] == [case[2] for case in cases]
    strict = verifier.verify([(problem(gold), boxed(text)) for text, gold, _ in cases])
    assert [one.value for one in strict] == [0.0] * len(cases)


def test_no_answer_is_evaluated(tmp_path):
    mark = tmp_path / "mark"
    payload = f"__import__('os').mkdir('{mark}')"
    opened = MathVerify(where="anywhere", workers=1).open()
    texts = [boxed(payload), payload, f"Answer: {payload}", boxed(f"x={payload}"), boxed(f"({payload},1)")]
    verdicts = opened.verify([(problem(gold), text) for gold in ("x+1", "(1,2)", "7") for text in texts])
    opened.close()
    assert all(one.status == "ok" for one in verdicts)
    assert not mark.exists()
