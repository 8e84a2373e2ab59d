"""Write correction.json: importance weights of two responses at every level, in 60-digit decimal arithmetic.

    python tests/golden/make_correction.py

Uses neither NumPy nor torch, so that package, oracle and golden numbers are three independent computations.
"""

from __future__ import annotations

import json
from decimal import Decimal, getcontext
from pathlib import Path

getcontext().prec = 60

# log π_old − log μ of the tokens; every number is exact in binary.
RESPONSES = [[0.25, -0.5, 1.0, 0.0], [-3.0, 0.125], [1.75], [30.0, -30.0, 0.5]]
BOUNDS = {
    "truncated": {"kind": "truncated", "high": 2.0},
    "truncated_both": {"kind": "truncated", "low": 0.5, "high": 5.0},
    "masked": {"kind": "masked", "low": 0.5, "high": 5.0},
    "rejected": {"kind": "masked", "low": 0.75, "high": 1.25, "weigh": False},
}
LIMIT = Decimal(20)


def ratios(gaps: list[float], level: str) -> list[Decimal]:
    logs = [Decimal(gap) for gap in gaps]
    if level != "token":
        whole = sum(logs, Decimal(0)) / (len(logs) if level == "geometric" else 1)
        logs = [whole] * len(logs)
    return [max(-LIMIT, min(LIMIT, log)).exp() for log in logs]


def weight(ratio: Decimal, spec: dict[str, object]) -> Decimal:
    low, high = Decimal(spec.get("low", 0.0)), Decimal(spec["high"])
    if spec["kind"] == "truncated":
        return max(low, min(high, ratio))
    inside = low <= ratio <= high
    return (ratio if spec.get("weigh", True) else Decimal(1)) if inside else Decimal(0)


def main() -> None:
    cases = [
        {
            "spec": {**spec, "level": level},
            "weights": [[float(weight(ratio, spec)) for ratio in ratios(gaps, level)] for gaps in RESPONSES],
        }
        for spec in BOUNDS.values()
        for level in ("token", "sequence", "geometric")
    ]
    content = {"gaps": RESPONSES, "cases": cases}
    Path(__file__).with_name("correction.json").write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
