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
from steerctl.rollout.correction import correction_of
from steerctl.spec.correction import CorrectionSpec
from steerctl.types import Dials, Need, TokenBatch, TokenStats, Update

Tensors = TypeVar("Tensors", Dials, TokenStats)


def with_old_statistics(
    policy: Policy, update: Update, needs: frozenset[Need], correction: CorrectionSpec | None = None
) -> Update:
    """The update with the statistics of the policy (and of the reference, if needed) at the start of the step.

    They are the trainer's own, also where the sampler had older weights: what lies between the two is the correction.
    """

    def complete(batch: TokenBatch) -> TokenBatch:
        reference_BT = policy.reference_logprobs(batch) if "reference" in needs else None
        batch = replace(batch, old=policy.measure(batch), ref_logprobs_BT=reference_BT)
        return batch if correction is None else replace(batch, correction=correction_of(correction, batch))

    return replace(update, micro_batches=tuple(complete(batch) for batch in update.micro_batches))


def detached(view: View) -> View:
    """The view without its graph, so that a micro-batch's activations are freed."""
    return View(_without_graph(view.dials), view.batch, _without_graph(view.stats))


def _without_graph(record: Tensors) -> Tensors:
    values = {field.name: getattr(record, field.name) for field in fields(record)}
    return replace(record, **{name: value.detach() for name, value in values.items() if isinstance(value, Tensor)})


@contextmanager
def named_failure(step: int, update: Update) -> Iterator[None]:
    """Say in which step and update a NonFiniteError happened; the policy says in which micro-batch.

    Both count from 1, as everywhere a user looks.
    """
    try:
        yield
    except NonFiniteError as error:
        raise NonFiniteError(f"step {step + 1}, update {update.index + 1}: {error}") from error
