"""maj@k against the definition: a vote in every subset of k samples."""

from collections import Counter
from itertools import combinations

import numpy as np
import pytest

from steerctl.errors import UserError
from steerctl.evaluation.majority import majority_at_k
from steerctl.evaluation.pass_at_k import avg_at_k


def by_subsets(classes, correct, k):
    """Every subset votes; a tie gives each leader its share; no answer scores 0."""
    scores = {
        each: 0.0 if each is None else np.mean([c for a, c in zip(classes, correct, strict=True) if a == each])
        for each in classes
    }
    found = []
    for subset in combinations(range(len(classes)), k):
        votes = Counter(classes[index] for index in subset)
        leaders = [each for each, count in votes.items() if count == max(votes.values())]
        found.append(np.mean([scores[each] for each in leaders]))
    return np.mean(found)


@pytest.mark.parametrize("k", range(1, 9))
def test_every_subset_votes(k):
    random = np.random.default_rng(k)
    for _ in range(15):
        classes = [None if draw == 0 else int(draw) for draw in random.integers(0, 5, 8)]
        right = int(random.integers(1, 5))
        correct = [float(each == right) for each in classes]
        assert majority_at_k([classes], [correct], k)[0] == pytest.approx(by_subsets(classes, correct, k), abs=1e-12)


def test_no_answer_can_win_and_never_scores():
    assert majority_at_k([[None, None, 3]], [[0, 0, 1]], 3).tolist() == [0.0]
    assert majority_at_k([[None, 3]], [[0, 1]], 2).tolist() == [0.5]
    assert majority_at_k([[None, None]], [[1, 1]], 1).tolist() == [0.0]


def test_a_vote_of_one_is_avg():
    correct = np.array([[1, 0, 0, 0, 1]])
    assert majority_at_k([[0, 1, 2, 1, 0]], correct, 1) == pytest.approx(avg_at_k(correct))


def test_large_votes():
    """With 60 of 100 right and one rival, a vote among 51 is nearly always won; all singletons share one draw."""
    classes = [0] * 60 + [1] * 40
    assert majority_at_k([classes], [[float(each == 0) for each in classes]], 51)[0] > 0.97
    alone = list(range(32))
    assert majority_at_k([alone], [[1.0] + [0.0] * 31], 16)[0] == pytest.approx(1 / 32)


@pytest.mark.parametrize(
    ("classes", "k", "message"),
    [([[0, 1]], 3, "there are 2"), ([[0]], 1, "its class"), ([[0, 1], [0, 1]], 1, "its class")],
)
def test_refusals(classes, k, message):
    with pytest.raises(UserError, match=message):
        majority_at_k(classes, [[1, 0]], k)
