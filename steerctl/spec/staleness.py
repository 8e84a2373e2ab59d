"""Rollouts by another policy than the one that is trained: what should be set together."""

from __future__ import annotations

from steerctl.spec.experiment import ExperimentSpec
from steerctl.spec.finding import Finding, Findings
from steerctl.spec.generator import VllmGenerator
from steerctl.spec.machine import Machine


def stale_rollouts(spec: ExperimentSpec, machine: Machine | None) -> Findings:  # noqa: ARG001 (one signature)
    """One step ahead without a correction, without servers, or with servers that sleep meanwhile."""
    rollout = spec.rollout
    if not rollout.ahead:
        return
    if isinstance(rollout.generator, VllmGenerator) and rollout.generator.colocate != "off":
        text = (
            "needs servers that are awake while the policy is trained; set rollout.generator.colocate: off, or ahead: 0"
        )
        yield Finding("error", "rollout.ahead", text)
    if rollout.correction is None:
        text = (
            "responses are one push of weights old and count as if they were fresh; set rollout.correction, for example"
            " {kind: truncated}"
        )
        yield Finding("warning", "rollout.ahead", text)
    if rollout.generator.kind == "embedded":
        text = "the embedded generator samples in the training process: one push older responses, and no time saved"
        yield Finding("note", "rollout.ahead", text)


def correction_bounds(spec: ExperimentSpec, machine: Machine | None) -> Findings:  # noqa: ARG001
    """Ratios of two whole distributions, and bounds for the level they are held against."""
    rollout, correction = spec.rollout, spec.rollout.correction
    if correction is None:
        return
    if rollout.top_p < 1 or rollout.top_k > 0:
        text = (
            "with rollout.top_p or top_k the sampler's distribution is cut and the trainer's is not: every ratio holds"
            " the cut too, and is below 1 where a server reports probabilities after the cut"
        )
        yield Finding("warning", "rollout.correction", text)
    if correction.level == "geometric" and not {"low", "high"} & correction.model_fields_set:
        text = (
            f"bounds {correction.low:g} and {correction.high:g} are meant for tokens; the geometric mean of a response"
            " lies far nearer 1 (verl: 0.999 and 1.001)"
        )
        yield Finding("warning", "rollout.correction.level", text)
