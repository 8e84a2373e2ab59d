"""No sample is missing, or it is an error."""

import numpy as np
import pytest

from steerctl.errors import UserError
from steerctl.evaluation.samples import matrix, vector


def test_verdicts_of_any_kind_become_numbers():
    assert matrix([[True, False], [0.5, 1]]).tolist() == [[1.0, 0.0], [0.5, 1.0]]
    assert matrix(np.eye(2, dtype=bool)).dtype == np.float64


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([[1, 0], [1]], "1 of 2 questions have fewer than 2 samples"),
        ([[1, None]], "1 samples have no verdict"),
        (np.array([[1.0, np.nan]]), "1 samples have no verdict"),
        ([[2.0]], "between 0 and 1"),
        ([[-1.0]], "between 0 and 1"),
        ([], "at least one sample"),
        ([[], []], "at least one sample"),
        (np.zeros(3), "at least one sample"),
        (np.array([["1"]]), "at least one sample"),
    ],
)
def test_what_is_missing_is_never_wrong(rows, message):
    with pytest.raises(UserError, match=message):
        matrix(rows)


@pytest.mark.parametrize("values", [[], [[1.0]], [1.0, np.nan], [np.inf]])
def test_a_question_without_a_value(values):
    with pytest.raises(UserError, match="accuracy: "):
        vector(values, "accuracy")
