"""Interventions, loss and the rest of the experiment together: what does nothing, and what undoes something else.

What each plug-in needs and does it declares itself (`remarks`, `turns`, `replaces`, `reads`, and `OnlyWith` on its
settings; a loss's `clips`); here declarations are only compared.
"""

from __future__ import annotations

from steerctl.intervention import Intervention
from steerctl.intervention._remarks import CLIP, Surroundings, unread
from steerctl.loss import Surrogate
from steerctl.spec.experiment import ExperimentSpec
from steerctl.spec.finding import Finding, Findings
from steerctl.spec.machine import Machine

LIST = "algorithm.interventions"


def inert_interventions(spec: ExperimentSpec, machine: Machine | None) -> Findings:  # noqa: ARG001 (one signature)
    """What each intervention says of itself, and what only a ratio away from 1 wakes."""
    around = surroundings(spec)
    for index, each in enumerate(spec.algorithm.interventions):
        path = f"{LIST}.{index}"
        if around.on_policy and each.inert_when_on_policy:
            yield Finding(
                "warning",
                path,
                f"{each.kind} does nothing with optim.updates_per_step 1: it needs a ratio away from 1, and on"
                " the only update after sampling the ratio is exactly 1; take 2 or more updates per step",
            )
        for text in (*each.remarks(around), *unread(each)):
            yield Finding("warning", path, f"{each.kind}: {text}")


def bounds_that_fit(spec: ExperimentSpec, machine: Machine | None) -> Findings:  # noqa: ARG001
    """Interventions that set the bounds of a token's ratio, and a loss that has none or another ratio."""
    loss = spec.algorithm.loss
    for index, each in enumerate(spec.algorithm.interventions):
        if not each.sets_bounds or loss.clips in ("token", "weight"):
            continue
        whole = "does nothing: it" if each.turns <= CLIP else ""
        if loss.clips == "none":
            text = f"{whole or 'also'} sets clip bounds, which algorithm.loss {loss.kind} does not read"
        else:
            text = (
                f"sets bounds for a token's ratio; algorithm.loss {loss.kind} holds them against the ratio of a whole"
                " response, which is far nearer 1"
            )
        yield Finding("warning", f"{LIST}.{index}", f"{each.kind}: {text}")


def order_of_interventions(spec: ExperimentSpec, machine: Machine | None) -> Findings:  # noqa: ARG001
    """What one sets anew is lost to, or was read too early by, those before it."""
    chain = spec.algorithm.interventions
    for later, each in enumerate(chain):
        for earlier, before in enumerate(chain[:later]):
            text = _undone(before, each)
            if text:
                yield Finding("warning", f"{LIST}.{later}", f"{text} ({LIST}.{earlier})")
        for after in chain[later + 1 :]:
            if "rewards" in each.reads & after.turns:
                text = f"{after.kind} changes rewards after {each.kind} has taken them; put {after.kind} before it"
                yield Finding("warning", f"{LIST}.{later}", text)


def _undone(before: Intervention, after: Intervention) -> str:
    """What `after` makes of the work of `before`, if it spoils it."""
    lost = after.replaces & before.turns - {"rewards"}
    stale = after.replaces & before.reads - {"rewards"}
    if lost or stale:
        what = "the clip bounds" if (lost or stale) & CLIP else f"the {min(lost or stale)}"
        if lost:
            start = f"{after.kind} sets {what} anew, so what {before.kind} made of them is lost"
            return f"{start}; leave one out or swap them"
        return f"{after.kind} sets {what} anew after {before.kind} has used the old; put {after.kind} before it"
    return ""


def rewards_that_count(spec: ExperimentSpec, machine: Machine | None) -> Findings:  # noqa: ARG001
    """Shaped rewards, and an estimator, that an intervention passes over."""
    chain = spec.algorithm.interventions
    verdicts = next((each.kind for each in chain if "rewards" in each.replaces), None)
    advantages = next((each.kind for each in chain if "advantages" in each.replaces), None)
    if verdicts is not None:
        for index, each in enumerate(chain):
            if each.turns == {"rewards"}:
                text = f"{each.kind} does nothing: {verdicts} makes advantages of verdicts, and looks at no reward"
                yield Finding("warning", f"{LIST}.{index}", text)
        if spec.reward.overlong is not None:
            text = f"does nothing: {verdicts} makes advantages of verdicts, and looks at no reward"
            yield Finding("warning", "reward.overlong", text)
    default = type(spec.algorithm).model_fields["advantage"].default
    if advantages is not None and spec.algorithm.advantage != default:
        text = f"plays no part: {advantages} sets all advantages anew"
        yield Finding("warning", "algorithm.advantage", text)


def loss_settings(spec: ExperimentSpec, machine: Machine | None) -> Findings:  # noqa: ARG001
    """What the loss says of itself, bounds that it does not read, and what one update per step leaves of it."""
    loss, updates = spec.algorithm.loss, spec.optim.updates_per_step
    for text in loss.remarks(updates, spec.algorithm.reduction):
        yield Finding("warning", "algorithm.loss", f"{loss.kind}: {text}")
    for name in ("clip_ratio_low", "clip_ratio_high"):
        if loss.clips == "none" and getattr(loss, name) != type(loss).model_fields[name].default:
            yield Finding("warning", f"algorithm.loss.{name}", f"is not read by loss {loss.kind}")
    if updates > 1:
        return
    if loss.plain_when_on_policy:
        text = f"with optim.updates_per_step 1 the ratio is exactly 1: {loss.kind} is then plain policy gradient"
        yield Finding("note", "algorithm.loss", text)
    elif loss.clips != "none" and loss.clip_ratio_high != loss.clip_ratio_low and not _bounds_replaced(spec):
        text = "clip bounds are never reached with optim.updates_per_step 1: the ratio is exactly 1"
        yield Finding("note", "algorithm.loss", text)


def _bounds_replaced(spec: ExperimentSpec) -> bool:
    return any(each.replaces >= CLIP for each in spec.algorithm.interventions)


def surroundings(spec: ExperimentSpec) -> Surroundings:
    """The experiment as its interventions see it."""
    loss: Surrogate = spec.algorithm.loss
    return Surroundings(
        steps=spec.steps,
        updates_per_step=spec.optim.updates_per_step,
        group_size=spec.rollout.group_size,
        reduction=spec.algorithm.reduction,
        loss=str(loss.kind),
        clips=loss.clips,
        dynamic_sampling=spec.rollout.dynamic_sampling is not None,
    )
