"""The token table of the laboratory: a row per probed token, update and optimiser; what every column holds, its unit.

All statistics are of the policy just before the optimiser step, at the sampling temperature, over the full vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["int32", "bool", "string", "float64"]


@dataclass(frozen=True, slots=True)
class Column:
    """A column: Arrow type, unit ("" for none), meaning; `optional` ones are null where they were not asked for."""

    kind: Kind
    unit: str
    meaning: str
    optional: bool = False


ESTIMATES: Final = (
    "exact", "own_logit", "squared", "released", "covariance", "population", "population_natural", "influence",
)  # fmt: skip
"""Predictions, in nats per unit step of the logits; formulas in entropy/change.py."""

TRAINED, PLAIN = "AdamW", "SGD"
"""Values of `optimiser`."""

COLUMNS: Final[dict[str, Column]] = {
    "step": Column("int32", "", "sample-and-train iteration, from 1"),
    "update": Column("int32", "", "optimiser step within it, from 1"),
    "optimiser": Column("string", "", "AdamW: the step as it was; SGD: the one that plain gradient descent would make"),
    "problem_id": Column("string", "", "the problem"),
    "sample": Column("int32", "", "which of the problem's responses, from 0"),
    "position": Column("int32", "tokens", "place in the response, from 0"),
    "length": Column("int32", "tokens", "of the response"),
    "token_id": Column("int32", "", "the sampled token"),
    "text": Column("string", "", "the sampled token, decoded alone"),
    "advantage": Column("float64", "", "A, as the interventions left it"),
    "weight": Column("float64", "", "the weight dial"),
    "ratio": Column("float64", "", "r = π/π_old at the sampled token"),
    "passes": Column("bool", "", "I_clip: whether the clip lets a gradient through"),
    "coefficient": Column("float64", "", "w = weight·I_clip·r·A, in front of ∇log π"),
    "logprob": Column("float64", "nats", "log π of the sampled token"),
    "entropy": Column("float64", "nats", "H of the state, before the update"),
    "mean_score": Column("float64", "nats", "S̄ = Σ π²(log π + H)"),
    "quadrant": Column("int32", "", "1 to 4 as in the paper's Fig. 6, boundary log π = −H; 0 where A = 0"),
    "quadrant_exact": Column("int32", "", "the same, boundary S_a = S̄"),
    "exact": Column("float64", "nats per unit step", "−w(S_a − S̄)"),
    "own_logit": Column("float64", "nats per unit step", "−wπ(1−π)(log π + H)"),
    "squared": Column("float64", "nats per unit step", "−wπ(1−π)²(log π + H)"),
    "released": Column("float64", "nats per unit step", "−(A/π_old)π(1−π)(log π + H)"),
    "covariance": Column("float64", "", "−(w − mean w)(log π − mean log π), means over the update"),
    "population": Column("float64", "nats per unit step", "−Cov_π(log π, π(w − w̄)) with w on the sampled token only"),
    "population_natural": Column("float64", "nats per unit step", "−Cov_π(log π, w) with w on the sampled token only"),
    "influence": Column("float64", "nats per unit rate", "effect on the mean entropy, N times over", optional=True),
    "measured": Column("float64", "nats", "H after the optimiser step, less H before it"),
    "first_order": Column("float64", "nats", "derivative of H along the whole change of the weights", optional=True),
    "second_order": Column("float64", "nats", "½ d²H along the whole change of the logits", optional=True),
    "own_state": Column("float64", "nats", "first-order effect of this token's own gradient", optional=True),
    "own_second_order": Column("float64", "nats", "½ d²H along what it did to the logits", optional=True),
    "carried": Column("float64", "nats", "first-order effect of momentum and weight decay", optional=True),
    "interference": Column("float64", "nats", "first_order − own_state: what else moved the weights", optional=True),
    "remainder": Column("float64", "nats", "measured − first_order", optional=True),
    "learning_rate": Column("float64", "", "η of the update"),
    "grad_norm": Column("float64", "", "of the update's gradient, before clipping"),
}
"""Name to column, in the order of the file."""
