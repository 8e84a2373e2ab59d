"""A small token table as the laboratory's arrays: two responses to each of six problems, three updates."""

import numpy as np


def token_table(seed=0, length=8):
    """Every column the tests read; null is NaN, as in the first update's `own_state`."""
    rng = np.random.default_rng(seed)
    update, problem, sample, position = (
        axis.reshape(-1) for axis in np.meshgrid(range(1, 4), range(6), range(2), range(length), indexing="ij")
    )
    count = len(update)
    words = np.array(["the", " 4", " +", "\n", " so"], dtype=object)
    rate = np.array([1e-5, 1e-4, 1e-4])[update - 1]
    exact = rng.standard_t(3, count)
    noise = 0.3 * rng.standard_t(3, count)
    table = {
        "step": (update + 1) // 2,
        "update": update,
        "optimiser": np.full(count, "AdamW", dtype=object),
        "problem_id": np.array([f"problem-{index}" for index in problem], dtype=object),
        "sample": sample,
        "position": position,
        "length": np.full(count, length),
        "text": words[rng.integers(0, len(words), count)],
        "advantage": rng.standard_normal(count),
        "logprob": -rng.exponential(0.7, count),
        "entropy": rng.exponential(0.5, count),
        "quadrant": rng.integers(0, 5, count),
        "exact": exact,
        "released": 20 * exact + 30 * noise,
        "measured": rate * (exact + noise),
        "first_order": rate * (exact + 0.99 * noise),
        "own_state": np.where(update == 1, np.nan, rate * exact),
        "own_second_order": np.where(update == 1, np.nan, 0.01 * rate * noise),
        "influence": np.full(count, np.nan),
        "learning_rate": rate,
        "grad_norm": 1.0 + update,
    }
    table["interference"] = table["first_order"] - table["own_state"]
    table["remainder"] = table["measured"] - table["first_order"]
    return table
