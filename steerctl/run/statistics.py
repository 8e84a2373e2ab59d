"""Small helpers of the step: old statistics, detaching, and the name of a failure."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from typing import TypeVar

from torch import Tensor

from steerctl.errors import NonFiniteError
from steerctl.intervention import View
from steerctl.protocols import Policy
from steerctl.types import Dials, Need, TokenStats, Update

Tensors = TypeVar("Tensors", Dials, TokenStats)


def with_old_statistics(policy: Policy, update: Update, needs: frozenset[Need]) -> Update:
    """The update with the statistics of the policy (and of the reference, if needed) at the start of the step."""
    return replace(
        update,
        micro_batches=tuple(
            replace(
                batch,
                old=policy.measure(batch),
                ref_logprobs_BT=policy.reference_logprobs(batch) if "reference" in needs else None,
            )
            for batch in update.micro_batches
        ),
    )


def detached(view: View) -> View:
    """The view without its graph, so that a micro-batch's activations are freed."""
    return View(_without_graph(view.dials), view.batch, _without_graph(view.stats))


def _without_graph(record: Tensors) -> Tensors:
    values = {field.name: getattr(record, field.name) for field in fields(record)}
    return replace(record, **{name: value.detach() for name, value in values.items() if isinstance(value, Tensor)})


@contextmanager
def named_failure(step: int, update: Update) -> Iterator[None]:
    """Say in which step and update a NonFiniteError happened; the policy says in which micro-batch.

    Steps count from 1, as everywhere a user looks.
    """
    try:
        yield
    except NonFiniteError as error:
        raise NonFiniteError(f"step {step + 1}, update {update.index}: {error}") from error
