import numpy as np
import pytest

from steerctl.metrics.catalogue import metrics
from steerctl.metrics.probe import probe_tally
from steerctl.metrics.tally import Tally

RNG = np.random.default_rng(1)
MEASURED = RNG.normal(size=50)
TOKENS = {
    "measured": MEASURED,
    "first_order": MEASURED + 0.1 * RNG.normal(size=50),
    "exact": np.where(np.arange(50) < 20, 0.0, RNG.normal(size=50)),
}


def test_correlations_signs_and_counts():
    found = probe_tally(TOKENS).finish()
    assert set(found) <= set(metrics())
    assert found["probe/positions/count"] == 50
    assert found["probe/measured/abs_mean"] == pytest.approx(np.abs(MEASURED).mean())
    for name in ("first_order", "exact"):
        assert found[f"probe/{name}/pearson"] == pytest.approx(np.corrcoef(TOKENS[name], MEASURED)[0, 1])
    told = TOKENS["exact"][20:] * MEASURED[20:] > 0
    # The 20 that were predicted not to move count half each.
    assert found["probe/exact/sign_agreement"] == pytest.approx((10 + told.sum()) / 50)


def test_updates_of_a_step_count_together():
    halves = [{name: values[part] for name, values in TOKENS.items()} for part in (slice(0, 23), slice(23, 50))]
    together = Tally.merged(map(probe_tally, halves)).finish()
    assert together == pytest.approx(probe_tally(TOKENS).finish())


def test_what_is_not_known_is_left_out():
    found = probe_tally({"measured": MEASURED}).finish()
    assert set(found) == {"probe/positions/count", "probe/measured/abs_mean"}
    assert probe_tally({"measured": np.zeros(0)}).finish() == {"probe/positions/count": 0.0}
