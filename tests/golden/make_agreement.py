"""Write agreement.json: agreement measures of a few small samples, in exact fractions.

    python tests/golden/make_agreement.py

Uses neither NumPy nor SciPy. Square roots are taken of exact fractions, in 40 digits. Ranks and places are found by
counting: no step is that of the package.
"""

from __future__ import annotations

import json
from decimal import Decimal, getcontext
from fractions import Fraction
from pathlib import Path

getcontext().prec = 40

# A name's predictions and measured changes; every number is exact in binary.
SAMPLES = {
    "plain": ([0.5, -1.25, 0.75, -0.125, 2.0], [0.25, -1.0, -0.5, -0.0625, 1.5]),
    "ties": ([1.0, 1.0, -2.0, -2.0, 0.0, 3.0, -2.0], [0.5, 0.25, -2.0, 0.5, 0.0, 0.5, -2.0]),
    "zeros": ([0.0, 0.0, 0.0, 1.0], [0.0, -1.0, 2.0, 0.0]),
    "blind": ([0.0, 0.0, 0.0], [1.0, -1.0, 0.5]),
    "still": ([1.0, -1.0, 0.5], [0.0, 0.0, 0.0]),
    "flat": ([0.25, 0.25, 0.25, 0.25], [1.0, -1.0, 0.5, 3.0]),
    "one": ([0.5], [1.0]),
    "wrong": ([1.0, -0.5, 0.25, 4.0], [-1.0, 0.5, -0.25, -4.0]),
    "forty": (
        [((7 * i) % 40 - 19) / 16 for i in range(40)],
        [((11 * i) % 40 - 18) / 32 + ((7 * i) % 40 - 19) / 16 for i in range(40)],
    ),
}
PERCENT = ("0.2", "1", "5")


def same_sign(left: Fraction, right: Fraction) -> Fraction:
    if left == right == 0 or left * right > 0:
        return Fraction(1)
    return Fraction(0) if left * right < 0 else Fraction(1, 2)


def divided(top: Fraction, bottom: Fraction) -> Fraction | None:
    return top / bottom if bottom else None


def root(value: Fraction) -> Decimal:
    return (Decimal(value.numerator) / Decimal(value.denominator)).sqrt()


def correlation(f: list[Fraction], y: list[Fraction]) -> float | None:
    n = len(f)
    df, dy = ([x - sum(xs) / n for x in xs] for xs in (f, y))
    spread = sum(a * a for a in df) * sum(b * b for b in dy)
    if not spread:
        return None
    top = sum(a * b for a, b in zip(df, dy, strict=True))
    return float(Decimal(top.numerator) / Decimal(top.denominator) / root(spread))


def ranks(values: list[Fraction]) -> list[Fraction]:
    return [Fraction(sum(v < x for v in values)) + Fraction(sum(v == x for v in values) + 1, 2) for x in values]


def places(values: list[Fraction], k: int) -> list[Fraction]:
    """How much of each is among the k smallest."""
    parts = []
    for x in values:
        before, tied = sum(v < x for v in values), sum(v == x for v in values)
        parts.append(Fraction(min(max(k - before, 0), tied), tied))
    return parts


def overlap(f: list[Fraction], y: list[Fraction], percent: str) -> float:
    k = max(1, round(Fraction(percent) * len(f) / 100))  # to even at one half, as in IEEE arithmetic
    both = [min(a, b) for a, b in zip(places(f, k), places(y, k), strict=True)]
    return float(sum(both, Fraction(0)) / k)


def golden(f: list[Fraction], y: list[Fraction]) -> dict[str, float | None]:
    n = len(f)
    ff, yy, fy = (sum(a * b for a, b in zip(p, q, strict=True)) for p, q in ((f, f), (y, y), (f, y)))
    slope = divided(fy, ff)

    def error(scale: Fraction) -> Fraction:
        return sum(((b - scale * a) ** 2 for a, b in zip(f, y, strict=True)), Fraction(0))

    def unexplained(scale: Fraction | None) -> Fraction | None:
        return 1 - error(scale) / yy if yy and scale is not None else None

    exact: dict[str, Fraction | None] = {
        "mse": error(Fraction(1)) / n,
        "r2": unexplained(Fraction(1)),
        "slope": slope,
        "mse_fitted": None if slope is None else error(slope) / n,
        "r2_fitted": unexplained(slope),
        "sign": Fraction(sum(same_sign(a, b) for a, b in zip(f, y, strict=True))) / n,
    }
    found: dict[str, float | None] = {name: None if value is None else float(value) for name, value in exact.items()}
    found |= {"pearson": correlation(f, y), "spearman": correlation(ranks(f), ranks(y))}
    sizes = [[-abs(x) for x in xs] for xs in (f, y)]
    found |= {f"top_{percent}_size": overlap(*sizes, percent) for percent in PERCENT}
    return found | {f"top_{percent}_fall": overlap(f, y, percent) for percent in PERCENT}


def main() -> None:
    samples = {
        name: {"predicted": f, "measured": y, **golden([Fraction(x) for x in f], [Fraction(x) for x in y])}
        for name, (f, y) in SAMPLES.items()
    }
    path = Path(__file__).with_name("agreement.json")
    path.write_text(json.dumps(samples, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
