"""The integer after the last mark, exactly."""

import pytest

from steerctl.reward.arithmetic import Arithmetic, extract_answer
from steerctl.types import Problem


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("17+4=21 ####21", "21"),
        ("####3 no, ####-4 \n", "-4"),
        ("####", None),
        ("21", None),
        ("####21 or 22", None),
        ("####2 1", None),
        ("####+5", None),
        ("####٣", None),
        ("####" + "1" * 19, None),
        ("57+8=65####065", "65"),
        ("####-0", "0"),
        ("####65.", None),
        ("", None),
        ("57+8=65####65", "65"),
        ("####65", "65"),
        ("#### 065 \n", "65"),
        ("####-7", "-7"),
        ("####1####2", "2"),
        ("####0", "0"),
        ("65", None),
        ("####6 5", None),
        ("####65=65", None),
        ("####٦٥", None),
        ("####" + "9" * 5000, None),
    ],
)
def test_extraction(text, answer):
    assert extract_answer(text) == answer


def test_verdicts():
    verifier = Arithmetic().open()
    problem = Problem("arithmetic/1", (), "21", "arithmetic")
    verdicts = verifier.verify([(problem, "####21"), (problem, "####22"), (problem, "####20"), (problem, "21")])
    assert [one.value for one in verdicts] == [1.0, 0.0, 0.0, 0.0]
    assert [one.status for one in verdicts] == ["ok", "ok", "ok", "no_answer"]
    assert verdicts[2].answer == "20"
    verifier.close()
    verifier.close()
