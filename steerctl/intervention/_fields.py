"""Types of settings that several interventions have."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

Fraction = Annotated[float, Field(ge=0, le=1)]

Coefficient = Annotated[float, Field(ge=0, allow_inf_nan=False)]
