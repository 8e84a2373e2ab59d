"""Tallies: finishing, and merging in any grouping."""

import pickle

import numpy as np
import pytest

from steerctl.metrics.groups import read_reward
from steerctl.metrics.moments import Moments
from steerctl.metrics.tally import Mean, Tally


def test_finish_by_hand():
    left = Tally(
        means={"a/mean": Mean(6, 3), "nothing/mean": Mean(0, 0)},
        counts={"a/count": 2},
        maxima={"a/max": 1.5},
        minima={"a/min": -1},
    )
    right = Tally(means={"a/mean": Mean(4, 1)}, counts={"a/count": 5}, maxima={"a/max": 1.0}, minima={"a/min": 3})
    assert left.merge(right).finish() == {"a/mean": 2.5, "a/count": 7, "a/max": 1.5, "a/min": -1}


def test_over_ranks_gives_the_same_on_every_rank():
    ranks = [
        Tally(moments={"reward": Moments.of(np.array([values]))}, readings={"reward": read_reward})
        for values in ([0.0, 1.0], [1.0, 1.0])
    ]
    travelled = [pickle.loads(pickle.dumps(tally)) for tally in ranks]  # noqa: S301 (our own bytes)
    finished = [tally.over_ranks(lambda _: travelled).finish() for tally in ranks]
    assert finished[0] == finished[1]
    assert finished[0]["reward/std"] == pytest.approx(np.std([0, 1, 1, 1]))
