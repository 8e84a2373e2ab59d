"""Units: errors with and without clusters, draws with replacement."""

import numpy as np
import pytest
from scipy import stats

from steerctl.errors import UserError
from steerctl.evaluation.units import Units

VALUES = np.array([0.0, 1.0, 0.25, 0.5, 1.0, 0.75])


def test_questions_of_their_own():
    units = Units.of(VALUES)
    assert units.count == 6
    assert units.error == pytest.approx(stats.sem(VALUES))


def test_clustered_error_is_that_of_the_double_sum():
    """Miller 2024: SE² = Σ_clusters Σ_{i,j in it} (x_i − m)(x_j − m) / N², times U/(U−1)."""
    labels = ["a", "b", "a", "c", "c", "c"]
    deviations = VALUES - VALUES.mean()
    double = sum(deviations[i] * deviations[j] for i in range(6) for j in range(6) if labels[i] == labels[j])
    units = Units.of(VALUES, labels)
    assert units.count == 3
    assert units.mean == pytest.approx(VALUES.mean())
    assert units.error == pytest.approx(np.sqrt(3 / 2 * double / 36))


def test_repeated_questions_gain_nothing():
    """Every question twice, labelled as such, is as certain as every question once."""
    twice = Units.of(np.repeat(VALUES, 2), np.repeat(np.arange(6), 2).tolist())
    assert twice.error == pytest.approx(Units.of(VALUES).error)


def test_draws_are_a_bootstrap():
    """Mean and variance of the draws, with unequal clusters against a bootstrap written out."""
    random = np.random.default_rng(0)
    units = Units.of(VALUES, ["a", "b", "a", "c", "c", "d"])
    draws = units.draws(40_000, random)
    picked = random.integers(0, 4, (40_000, 4))
    plain = units.sums_U[picked].sum(axis=1) / units.sizes_U[picked].sum(axis=1)
    assert draws.mean() == pytest.approx(plain.mean(), abs=0.005)
    assert draws.std() == pytest.approx(plain.std(), rel=0.03)
    assert stats.ks_2samp(draws, plain).pvalue > 1e-3


def test_one_unit_has_no_error():
    assert Units.of([1.0, 0.0], ["a", "a"]).error is None


def test_labels_for_every_question():
    with pytest.raises(UserError, match="1 cluster labels for 2 questions"):
        Units.of([1.0, 0.0], ["a"])
