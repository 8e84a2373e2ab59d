import numpy as np
import pytest

from steerctl.loss.cispo import Cispo
from steerctl.loss.no_clip import NoClip
from steerctl.loss.reinforce import Reinforce
from steerctl.loss.sapo import Sapo
from steerctl.metrics.catalogue import metrics
from steerctl.run.record import rollout_table, step_metrics
from steerctl.run.step import run_step
from tests.fakes import FakePolicy
from tests.run.test_step import parts


@pytest.fixture(scope="module")
def finished():
    p = parts()
    return p, run_step(p, 0, 0)


def test_every_metric_of_a_step_is_in_the_catalogue(finished):
    p, outcome = finished
    found = step_metrics(outcome, p.surrogate, p.policy)
    assert set(found) <= set(metrics())
    assert found["batch/tokens/count"] == sum(len(r.token_ids_T) for g in outcome.groups for r in g.rollouts)
    assert found["reward/mean"] == pytest.approx(np.mean([g.rewards_G for g in outcome.groups]))
    assert found["entropy_change/measured/mean"] == pytest.approx(
        found["policy/entropy_after/mean"] - found["policy/entropy/mean"], abs=1e-12
    )


@pytest.mark.parametrize("loss", [Reinforce(), NoClip(), Cispo(), Sapo()])
def test_a_loss_that_never_stops_a_gradient_clips_nothing(loss):
    """Their bounds, if they have any, are not ppo_clip's: the metrics say what was descended."""
    p = parts(surrogate=loss, policy=FakePolicy(lr=200.0))  # so that ratios leave the bounds in the second update
    found = step_metrics(run_step(p, 0, 0), loss, p.policy)
    assert found["policy/ratio/max"] > 1.3
    assert found["policy/ratio/min"] < 0.7
    assert (found["clip/high/fraction"], found["clip/low/fraction"]) == (0, 0)


def test_the_table_has_a_row_per_response_and_a_number_per_token(finished):
    p, outcome = finished
    table = rollout_table(outcome, p.policy)
    assert len(table) == 4 * 8
    lengths = [len(r.token_ids_T) for g in outcome.groups for r in g.rollouts]
    for name in ("rollout_logprobs", "old_logprobs", "entropy", "entropy_after", "weight", "token_advantage"):
        assert [len(row) for row in table.tokens[name]] == lengths, name
    assert np.allclose(np.concatenate(table.tokens["weight"]), 1)
    expected = np.repeat(outcome.advantages_PG.flatten().numpy(), lengths)
    assert np.array_equal(np.concatenate(table.tokens["token_advantage"]), expected)
