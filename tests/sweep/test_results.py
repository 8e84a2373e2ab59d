"""A run's numbers: at its end, and where its validation was best."""

from __future__ import annotations

import math

from steerctl.sweep.results import chosen_step, last_value

LINES = [
    {"step": 0, "v": 0.9},
    {"step": 1, "r": 0.1},
    {"step": 2, "r": 0.2, "v": 0.5},
    {"step": 3, "r": math.nan},
    {"step": 4, "r": 0.4, "v": 0.5},
]


def test_the_mean_over_the_last_steps_that_have_it():
    assert last_value(LINES, "r", 1) == 0.4
    assert last_value(LINES, "r", 3) == (0.2 + 0.4) / 2
    assert last_value(LINES, "v", 1) == 0.5
    assert last_value(LINES[:4], "v", 1) is None
    assert last_value([], "v", 1) is None


def test_the_earliest_best_step_and_never_the_untrained_policy():
    assert chosen_step(LINES, "v", "maximize") == 2
    assert chosen_step(LINES, "r", "minimize") == 1
    assert chosen_step(LINES, "r", "maximize") == 4
    assert chosen_step(LINES, "nothing", "maximize") is None
