"""Judge the reference solutions of a data set, as a user's command would."""

import pytest

from steerctl.reward.code import Code
from steerctl.reward.sandbox.probe import probe


def verdicts(problems, program=None):
    """One verdict per problem on `program(problem)`, by default its reference solution."""
    if probe().tier is None:
        pytest.skip(f"nothing confines programs here: {probe().findings}")
    verifier = Code(workers=1).open()
    try:
        texts = [program(each) if program else each.gold for each in problems]
        return verifier.verify(
            [(each, f"````python\n{text}\n````") for each, text in zip(problems, texts, strict=True)]
        )
    finally:
        verifier.close()


def right(problems, program=None):
    """Ids that are judged right."""
    return {
        each.id for each, verdict in zip(problems, verdicts(problems, program), strict=True) if verdict.value == 1.0
    }


def wrong(problems, program=None):
    """Ids that are not, with the reason."""
    return {
        each.id: verdict.why
        for each, verdict in zip(problems, verdicts(problems, program), strict=True)
        if verdict.value != 1.0
    }
