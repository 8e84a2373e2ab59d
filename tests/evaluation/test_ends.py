"""What one run comes to."""

import math

from steerctl.evaluation.ends import chosen_step, last_value, value_at

LINES = [
    {"step": 0, "v": 9.0},
    {"step": 1, "r": 1.0},
    {"step": 2, "r": 2.0, "v": 0.5},
    {"step": 3, "r": math.nan},
    {"step": 4, "r": 4.0, "v": 0.5},
]


def test_the_mean_of_the_last_steps_that_have_it():
    assert last_value(LINES, "r", 1) == 4.0
    assert last_value(LINES, "r", 3) == 3.0  # 2 and 4; 3 is not a number
    assert last_value(LINES, "v", 2) == 0.5
    assert last_value(LINES, "x", 3) is None
    assert last_value([], "r", 3) is None


def test_the_chosen_step_is_the_earliest_best_after_the_start():
    assert chosen_step(LINES, "v") == 2
    assert chosen_step(LINES, "r") == 4
    assert chosen_step(LINES, "r", "minimize") == 1
    assert chosen_step(LINES, "x") is None


def test_a_value_at_a_step():
    assert value_at(LINES, "r", 2) == 2.0
    assert value_at(LINES, "r", 3) is None
    assert value_at(LINES, "r", 7) is None
