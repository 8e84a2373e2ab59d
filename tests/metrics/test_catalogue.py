"""The table of metric names and the page made from it."""

import re
from pathlib import Path

import pytest

from steerctl.entropy.change import ESTIMATOR_NEEDS
from steerctl.metrics.catalogue import ESTIMATORS, is_timing, markdown, metrics, sections

ROOT = Path(__file__).resolve().parents[2]


def test_docs_page_is_current():
    assert (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8") == markdown(), (
        "run python -m steerctl.metrics.catalogue"
    )


def test_estimators_are_those_of_the_theory():
    # influence needs passes of its own, so no run measures it along the way.
    assert set(ESTIMATORS) == set(ESTIMATOR_NEEDS) - {"influence"}


def test_every_metric_is_described():
    for key, metric in metrics().items():
        assert re.fullmatch(r"[a-z_]+(/[a-z0-9_]+){0,2}/[a-z0-9_.]+", key), key
        assert metric.unit, key
        assert len(metric.meaning) > 8, key


def test_only_clock_and_machine_are_timing():
    areas = {key.split("/")[0] for key, metric in metrics().items() if metric.timing}
    assert areas == {"time", "throughput", "memory"}
    assert is_timing("time/step/seconds")
    assert not is_timing("policy/entropy/mean")
    with pytest.raises(KeyError):
        is_timing("policy/entorpy/mean")


def test_estimator_placeholder_is_written_out():
    assert "entropy_change/own_logit/quadrant_3" in metrics()
    assert not [key for key in metrics() if "<" in key]
    assert len(sections()) == 10
