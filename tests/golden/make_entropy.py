"""Write entropy.json: statistics, logit gradients and entropy changes of a few states, in 60-digit decimal arithmetic.

    python tests/golden/make_entropy.py

Uses neither NumPy nor torch, so that package, oracle and golden numbers are three independent computations. The
gradient is a central difference with a step of 1e-20.
"""

from __future__ import annotations

import json
from decimal import Decimal, getcontext
from pathlib import Path

getcontext().prec = 60
STEP = Decimal("1e-20")

# A name's logits, target and temperature; every number is exact in binary.
STATES = {
    "five_way_rare": ([-0.46875, -1.46875, -2.25, -3.484375, -5.46875], 4, 1.0),
    "five_way_top": ([-0.46875, -1.46875, -2.25, -3.484375, -5.46875], 0, 1.0),
    "equal": ([2.5] * 7, 3, 1.0),
    "certain": ([40.0, 0.0, 0.5, -1.0], 0, 1.0),
    "far_tail": ([3.0, 2.75, -3000.0, -1.0], 2, 1.0),
    "offset": ([10003.0, 10002.5, 10001.0, 9990.0, 10002.75], 1, 1.0),
    "cooled": ([1.25, 0.5, -0.75, 2.0, 0.0, -4.0], 5, 0.625),
}
WEIGHT, ADVANTAGE, OLD_SHIFT = 0.75, -1.5, 0.125  # w, A, log π_old − log π


def softmax(logits: list[Decimal]) -> list[Decimal]:
    shares = [(z - max(logits)).exp() for z in logits]
    return [share / sum(shares) for share in shares]


def entropy(logits: list[Decimal]) -> Decimal:
    return -sum((p * p.ln() for p in softmax(logits)), Decimal(0))


def slope(logits: list[Decimal], step: list[Decimal]) -> Decimal:
    """Derivative of the entropy along a direction."""
    up, down = ([z + sign * STEP * d for z, d in zip(logits, step, strict=True)] for sign in (1, -1))
    return (entropy(up) - entropy(down)) / (2 * STEP)


def golden(raw: list[float], target: int, temperature: float) -> dict[str, object]:
    logits = [Decimal(z) / Decimal(temperature) for z in raw]
    probs, own = softmax(logits), entropy(logits)
    prob, weight, advantage = probs[target], Decimal(WEIGHT), Decimal(ADVANTAGE)
    units = [[Decimal(int(a == b)) for b in range(len(raw))] for a in range(len(raw))]
    toward = [unit - p for unit, p in zip(units[target], probs, strict=True)]
    slope_own = slope(logits, units[target])
    clamped = min(max(prob, Decimal("1e-8")), 1 - Decimal("1e-8"))
    old = min(max(prob * Decimal(OLD_SHIFT).exp(), Decimal("1e-8")), Decimal(1))
    numbers = {
        "logprob": prob.ln(),
        "entropy": own,
        "mean_score": sum(p * p * (p.ln() + own) for p in probs),
        "collision": sum(p * p for p in probs),
        "exact": weight * slope(logits, toward),
        "own_logit": weight * (1 - prob) * slope_own,
        "squared": weight * (1 - prob) ** 2 * slope_own,
        "released": -advantage / old * clamped * (1 - clamped) * (clamped.ln() + own),
    }
    gradient = [float(slope(logits, unit) / Decimal(temperature)) for unit in units]
    state = {"logits": raw, "target": target, "temperature": temperature, "entropy_gradient": gradient}
    return state | {name: float(value) for name, value in numbers.items()}


def main() -> None:
    content = {
        "weight": WEIGHT,
        "advantage": ADVANTAGE,
        "old_shift": OLD_SHIFT,
        "states": {name: golden(*state) for name, state in STATES.items()},
    }
    Path(__file__).with_name("entropy.json").write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
