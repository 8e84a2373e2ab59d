"""The probe: what it finds with a policy that can be computed by hand, and that real training does not notice it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from steerctl.analysis.table import joined, token_table
from steerctl.engine.environment import prepare_single
from steerctl.metrics.catalogue import metrics as catalogue
from steerctl.run.analyze import AnalyzeRequest, analyze_run
from steerctl.run.probe import TokenProbe
from steerctl.run.record import step_metrics
from steerctl.run.step import run_step
from steerctl.run.timing import Clock
from steerctl.spec.analysis import ProbeSpec
from tests.engine.test_policy import run_ranks
from tests.run.probe_worker import run
from tests.run.test_step import parts

pytestmark = pytest.mark.timeout(600)

EVERYTHING = {"positions": 10_000, "sequences": 10_000, "every": 1}


def probing(*, alike=False, **settings):
    """The step of test_step with a probe, and its clock."""
    p, clock = parts(), Clock()
    spec = ProbeSpec(**(EVERYTHING | settings))
    probe = TokenProbe(spec, p.policy, p.surrogate, clock, 1, p.updates_per_step, p.micro_batch_tokens, alike)
    return parts(policy=p.policy, collector=p.collector, probe=probe), clock


def test_the_step_is_the_one_without():
    plain, (watched, clock) = parts(), probing(influence=True)
    for p in (plain, watched):
        run_step(p, 0, 0)
    assert torch.equal(plain.policy.table, watched.policy.table)
    assert set(clock.lap()) == {"probe"}


@pytest.mark.parametrize("alike", [False, True])
def test_every_token_is_measured_before_and_after_its_own_update(alike):
    p, _ = probing(first_order=False, alike=alike)
    before = p.policy.table.detach().clone()
    outcome = run_step(p, 0, 0)
    first, second = outcome.probed
    assert set(first["update"]) == {1}
    assert set(second["update"]) == {2}
    lengths = [len(rollout.token_ids_T) for group in outcome.groups for rollout in group.rollouts]
    assert len(first["row"]) + len(second["row"]) == sum(lengths)
    for found, rows, table in ((first, range(16), before), (second, range(16, 32), p.policy.table.detach())):
        views = [view for view in outcome.views if int(view.batch.row_B.max()) in rows]
        states = torch.cat([view.batch.input_ids_BT[view.batch.loss_mask_BT] for view in views])
        there = found["entropy"] + (0 if rows[0] == 0 else found["measured"])
        assert sorted(there) == pytest.approx(sorted(entropies(table)[states].tolist()), abs=1e-12)
        assert (np.abs(found["measured"]) > 0).mean() > 0.5
        assert "first_order" not in found


def entropies(table):
    logp = table.log_softmax(dim=-1)
    return -(logp.exp() * logp).sum(dim=-1)


def test_first_order_is_the_derivative_at_the_start_of_the_update():
    p, _ = probing()
    p.policy.lr = 1e-3
    for found in run_step(p, 0, 0).probed:
        size = np.abs(found["measured"]).max()
        assert size > 1e-6
        assert found["first_order"] == pytest.approx(found["measured"], abs=1e-3 * size)


def test_influence_adds_up_to_what_the_update_did_to_the_mean():
    p, _ = probing(influence=True)
    first, _ = run_step(p, 0, 0).probed
    expected = p.policy.learning_rate * first["influence"].mean()
    assert first["first_order"].mean() == pytest.approx(expected, rel=1e-6)
    assert abs(expected) > 1e-5


def test_updates_are_counted_over_the_run():
    p, _ = probing(every=3)
    found = [[int(each["update"][0]) for each in run_step(p, step, 0).probed] for step in range(4)]
    assert found == [[1], [2], [], [1]]  # of two updates a step: numbers 0, 3, 6


def test_the_metrics_of_a_step_say_how_it_went():
    p, _ = probing(positions=20)
    outcome = run_step(p, 0, 0)
    found = step_metrics(outcome, p.surrogate, p.policy)
    assert set(found) <= set(catalogue())
    assert found["probe/positions/count"] == 40
    assert found["probe/first_order/pearson"] > 0.9
    assert 0 <= found["probe/exact/sign_agreement"] <= 1
    table = token_table(joined(outcome.probed), 1, outcome.groups, str)
    rollouts = {(g.problem.id, i): r for g in outcome.groups for i, r in enumerate(g.rollouts)}
    for row in table.to_pylist():
        response = rollouts[row["problem_id"], row["sample"]]
        assert row["token_id"] == response.token_ids_T[row["position"]]
        assert row["length"] == len(response.token_ids_T)


def case(name, stage, probe):
    return {"name": name, "spec": {"engine": {"zero_stage": stage}, "analysis": {"probe": probe}}}


SOME = {"positions": 50, "sequences": 10, "every": 1}
ALONE = [case("off3", 3, None), case("on3", 3, SOME | {"influence": True})]
TOGETHER = [*ALONE, case("off1", 1, None), case("on1", 1, SOME)]


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    folder = tmp_path_factory.mktemp("probe")
    prepare_single()
    alone = {each["name"]: run(folder, each, 1) for each in ALONE}
    return {1: alone, 2: run_ranks(folder, "run", 2, TOGETHER, worker="../run/probe_worker.py")}


@pytest.mark.engine
@pytest.mark.parametrize(("ranks", "stage"), [(1, 3), (2, 3), (2, 1)])
def test_training_does_not_notice_it(reports, ranks, stage):
    on, off = (reports[ranks][f"{name}{stage}"] for name in ("on", "off"))
    assert on["weights"] == off["weights"]
    assert {name: value for name, value in on["metrics"].items() if not name.startswith("probe/")} == off["metrics"]
    assert on["metrics"]["probe/first_order/pearson"] > 0.5


@pytest.mark.engine
@pytest.mark.parametrize("stage", [3, 1])
def test_two_ranks_look_at_the_same_tokens_and_see_the_same(reports, stage):
    alone, together = reports[1]["on3"]["tokens"], reports[2][f"on{stage}"]["tokens"]
    assert len(alone["row"]) == 100
    for name in ("update", "row", "position", "quadrant", "passes"):
        assert together[name] == alone[name], name
    for name in set(together) - {"update", "row", "position", "quadrant", "passes", "quadrant_exact"}:
        actual, expected = np.array(together[name]), np.array(alone[name])
        assert np.abs(actual - expected).max() <= 1e-3 * np.abs(expected).max() + 1e-6, name
    assert ("influence" in together) == (stage == 3)


@pytest.mark.engine
def test_one_process_analyzes_what_two_ranks_trained(reports):
    """In the room of `steerctl analyze`; here because the ranks are."""
    run = Path(reports[2]["stored"])
    (step,) = analyze_run(AnalyzeRequest(run, (1,), 4, own=False, out=run / "here"), lambda _: None)
    assert 0 < step.start < 1e-5
    assert 0 < step.end < 1e-4
    assert "done again to within" in step.line
