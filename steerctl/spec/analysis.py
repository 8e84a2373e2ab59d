"""What is looked at more closely while a run goes on."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, PositiveInt

from steerctl.plugins import Strict


class ProbeSpec(Strict):
    """What an update did to the entropy at some of its tokens, beside what every formula foretold.

    The tokens are drawn from the experiment's seed, whatever the ranks and micro-batches. A probe changes nothing of
    the training. It costs a forward pass over the chosen responses (two with bfloat16 weights), two more for
    `first_order`, and for that two copies of the float32 weights (each rank's share).
    """

    positions: Annotated[int, Field(gt=0, le=10**6)] = 512
    """Tokens looked at in one update; all of the chosen responses' tokens if they have fewer."""
    every: PositiveInt = 10
    """Updates from one that is looked at to the next, counted over the whole run; the first one is looked at."""
    sequences: Annotated[int, Field(gt=0, le=10**6)] = 64
    """Responses of the update that the tokens may come from: what is computed again is these and no others."""
    first_order: bool = True
    """Also the derivative of the entropy along the whole change of the weights (float32 weights only)."""
    influence: bool = False
    """Also the estimator `influence`: one more forward and backward pass and two measuring passes over the update
    (float32 weights only)."""


class AnalysisSpec(Strict):
    """What is looked at more closely while the run goes on; none of it changes the training."""

    probe: ProbeSpec | None = None
    """None: no token is looked at; `steerctl analyze` can still do it afterwards."""
