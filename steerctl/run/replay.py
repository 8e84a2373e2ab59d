"""`steerctl train --from-rollouts`: saved rollouts in the place of sampling, once they are known to fit."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from steerctl.engine.policy import DeepSpeedPolicy
from steerctl.errors import DataError, RunFolderError
from steerctl.rollout.collect import Collector
from steerctl.rollout.replay import Replay
from steerctl.run.timing import Clock
from steerctl.spec.experiment import ExperimentSpec
from steerctl.store.saved import SavedRollouts
from steerctl.types import RolloutGroup

CHECKED_AT_A_TIME = 64


def open_replay(path: Path, spec: ExperimentSpec, collector: Collector, vocabulary: int, clock: Clock) -> Replay:
    """The source of a run's groups in the place of `collector`; reading them counts as `generate`.

    The saved verdicts stand if they are by the verifier of this experiment; else the texts are judged again.

    Raises:
        DataError: the file cannot be read, runs out before the last step, or fits neither experiment nor model.
    """
    saved = SavedRollouts.open(path)
    _check_shape(saved, spec)
    known = {problem.id: problem for problem in collector.prompts.problems}
    prompts = dict(zip(known, collector.prompts.prompt_ids, strict=True))
    needed = spec.steps * spec.rollout.problems_per_step
    for start in range(0, needed, CHECKED_AT_A_TIME):
        for group in saved.block(start, min(start + CHECKED_AT_A_TIME, needed)):
            _check_group(path, group, prompts, vocabulary)

    def block(start: int, stop: int) -> Sequence[RolloutGroup]:
        with clock("generate"):
            return saved.block(start, stop)

    return Replay(
        block=block,
        known=known,
        judge=None if judged_alike(saved, spec) else collector.verifier,
        shape=collector.shape,
        ranks=collector.ranks,
        problems=spec.rollout.problems_per_step,
        replaced=saved.replaced,
    )


def open_steps(run: Path, steps: Sequence[int], spec: ExperimentSpec, collector: Collector, vocabulary: int) -> Replay:
    """Some steps of a stored run under their own numbers (from 1), as the source of its groups; verdicts stand.

    Raises:
        DataError: their rollouts cannot be read, or fit neither experiment nor model.
    """
    saved, count = SavedRollouts.open(run), spec.rollout.problems_per_step
    _check_shape(saved, spec.model_copy(update={"steps": 0}))
    known = {problem.id: problem for problem in collector.prompts.problems}
    prompts = dict(zip(known, collector.prompts.prompt_ids, strict=True))
    blocks = {}
    for step in steps:
        first = saved.steps.index(step) * count
        blocks[(step - 1) * count] = saved.block(first, first + count)
        for group in blocks[(step - 1) * count]:
            _check_group(run, group, prompts, vocabulary)
    return Replay(
        block=lambda start, _: blocks[start],
        known=known,
        judge=None,
        shape=collector.shape,
        ranks=collector.ranks,
        problems=count,
        replaced={},
    )


def judged_alike(saved: SavedRollouts, spec: ExperimentSpec) -> bool:
    """Whether the saved verdicts are what this experiment's verifier says."""
    own = json.loads(json.dumps(spec.reward.verifier.model_dump()))
    return saved.sampled is not None and saved.sampled["reward"]["verifier"] == own


def replayed_before(resumed: Mapping[str, Any], wanted: Path | None) -> Path | None:
    """The rollouts a resumed run goes on with: those it began with, as its environment.json says.

    Raises:
        DataError: others are asked for.
    """
    recorded = resumed.get("from_rollouts")
    begun = Path(recorded) if recorded is not None else None
    if wanted is not None and (begun is None or wanted.resolve() != begun):
        raise DataError(
            f"--from-rollouts {wanted}: the run that is resumed {'samples' if begun is None else f'replays {begun}'};"
            " leave the option out"
        )
    return begun


def require_apart(saved: Path | None, run: Path) -> None:
    """Refuse to write a run where the rollouts lie that it replays: --overwrite would remove them.

    Raises:
        RunFolderError: they lie there.
    """
    if saved is not None and saved.is_relative_to(run.resolve()):
        raise RunFolderError(f"--from-rollouts {saved}: is in the run that would be written; choose another name")


def _check_shape(saved: SavedRollouts, spec: ExperimentSpec) -> None:
    """Enough groups, of the right size, sampled at the temperature of this experiment."""
    rollout, path = spec.rollout, saved.path
    if saved.group_size != rollout.group_size:
        raise DataError(f"{path}: its groups have {saved.group_size} responses; set rollout.group_size to that")
    steps = saved.groups // rollout.problems_per_step
    if steps < spec.steps:
        mend = f"set steps={steps}" if steps else f"set rollout.problems_per_step={saved.groups} steps=1"
        raise DataError(
            f"{path}: its {saved.groups} groups are enough for {steps} steps of {rollout.problems_per_step} problems,"
            f" not for {spec.steps}; {mend} or sample more"
        )
    temperature = saved.sampled["rollout"]["temperature"] if saved.sampled is not None else rollout.temperature
    branched = rollout.branching or (saved.sampled is not None and saved.sampled["rollout"].get("branching"))
    if branched:
        text = "rollouts under rollout.branching do not say which tokens were given, so they are not replayed"
        raise DataError(f"{path}: {text}")
    if temperature != rollout.temperature:
        raise DataError(f"{path}: was sampled at temperature {temperature:g}; set rollout.temperature to that")


def _check_group(path: Path, group: RolloutGroup, prompts: Mapping[str, tuple[int, ...]], vocabulary: int) -> None:
    """Its problem is one of the experiment's, asked in the model's own tokens; its responses are in the vocabulary."""
    name = group.problem.id
    if name not in prompts:
        raise DataError(f"{path}: problem {name} is not in data.train; name the data these rollouts were sampled from")
    largest = max((int(rollout.token_ids_T.max(initial=0)) for rollout in group.rollouts), default=0)
    if largest >= vocabulary:
        raise DataError(f"{path}: token {largest} of problem {name} is outside the model's vocabulary of {vocabulary}")
    if group.prompt_ids != prompts[name]:
        raise DataError(
            f"{path}: problem {name} was asked in other tokens than this experiment asks it: another tokenizer,"
            " data.template or chat template"
        )
    if empty := [rollout.seed for rollout in group.rollouts if not len(rollout.token_ids_T)]:
        raise DataError(f"{path}: a response to problem {name} (seed {empty[0]}) has no tokens")


def vocabulary_of(policy: DeepSpeedPolicy) -> int:
    """Rows of the output head."""
    size: int = policy.model.model.config.get_text_config().vocab_size
    return size
