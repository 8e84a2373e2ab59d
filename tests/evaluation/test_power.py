"""What a test could have seen: against SciPy's noncentral t."""

import numpy as np
import pytest
from scipy import stats

from steerctl.evaluation.power import detectable, questions_needed


def test_in_the_limit_it_is_2_8_errors():
    assert detectable(0.01) == pytest.approx(0.028016, abs=1e-6)


@pytest.mark.parametrize(("freedom", "slack"), [(15, 0.01), (29, 0.005), (271, 0.001)])
def test_the_power_is_what_was_asked(freedom, slack):
    shift = detectable(1.0, freedom)
    edge = stats.t.ppf(0.975, freedom)
    power = stats.nct.sf(edge, freedom, shift) + stats.nct.cdf(-edge, freedom, shift)
    assert power == pytest.approx(0.8, abs=2 * slack)


def test_questions_needed():
    """Half the difference needs four times the questions."""
    error = 0.02
    once = questions_needed(detectable(error), error, 500)
    assert once == pytest.approx(500, abs=1)
    assert questions_needed(detectable(error) / 2, error, 500) == pytest.approx(2000, abs=2)
    assert questions_needed(-detectable(error), error, 500) == once
    assert np.isfinite(once)
