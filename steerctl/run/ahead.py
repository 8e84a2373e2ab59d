"""Rollouts that wait for the next step, into a checkpoint and out of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from steerctl.rollout.ahead import Pending, SamplingAhead
from steerctl.rollout.collect import Collected, GroupSource
from steerctl.store.checkpoints import Checkpoint
from steerctl.store.pending import read_groups, write_groups
from steerctl.types import Problem

PENDING = "pending"
"""Their folder in a checkpoint, and their key in its state."""


def save_ahead(source: GroupSource, checkpoint: Path) -> dict[str, Any]:
    """Write the waiting groups, if there are any; returns what belongs in the checkpoint's state. One rank calls it.

    They cannot be sampled again later: the weights they are by are older than the checkpoint's.
    """
    pending = source.pending if isinstance(source, SamplingAhead) else None
    if pending is None:
        return {}
    collected = pending.collected
    write_groups(checkpoint / PENDING, collected.groups)
    numbers = {"cursor": collected.cursor, "asked": collected.asked, "replaced": collected.replaced}
    return {PENDING: {"step": pending.step, **numbers}}


def restore_ahead(source: GroupSource, checkpoint: Checkpoint) -> None:
    """Put the waiting groups back, if the checkpoint has any; every rank calls it.

    Raises:
        RunFolderError: they cannot be read.
    """
    state = checkpoint.state.get(PENDING)
    if state is None or not isinstance(source, SamplingAhead):
        return
    prompts = source.collector.prompts
    places = {problem.id: place for place, problem in enumerate(prompts.problems)}

    def find(name: str) -> tuple[Problem, tuple[int, ...]]:
        return prompts.problems[places[name]], prompts.prompt_ids[places[name]]

    groups = read_groups(checkpoint.path / PENDING, find)
    collected = Collected(groups, state["cursor"], state["asked"], state["replaced"])
    source.restore(Pending(state["step"], collected))
