"""`steerctl analyze` on real stored runs: the step is the one that was, the tokens are those of the probe."""

from __future__ import annotations

import shutil
import signal

import numpy as np
import pytest

from steerctl.analysis.columns import COLUMNS
from steerctl.analysis.table import arrays
from steerctl.errors import DataError, Interrupted, RunFolderError
from steerctl.run.analyze import AnalyzedStep, AnalyzeRequest, analysable, analyze_run, spread
from steerctl.store.record import RunRecord
from tests.run.stored import PROBE, stored_run

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return stored_run(tmp_path_factory.mktemp("stored"), algorithm={"interventions": [{"kind": "steer"}]})


@pytest.fixture(scope="module")
def analyzed(run):
    said = []
    return analyze_run(AnalyzeRequest(run, positions=PROBE["positions"]), said.append), said


def test_the_steps_are_done_again_bit_for_bit(analyzed):
    steps, said = analyzed
    assert [(each.step, each.start, each.end) for each in steps] == [(1, 0.0, 0.0), (3, 0.0, 0.0)]
    assert all(each.agrees for each in steps)
    assert said[0].endswith("steps 1 and 3 of 4; loading the policy")
    assert "larger checkpoint.keep" in said[1]
    assert "bit for bit" in said[2]


def test_every_column_but_influence_is_filled(analyzed):
    for each in analyzed[0]:
        assert each.table.column_names == list(COLUMNS)
        empty = {name for name in COLUMNS if each.table[name].null_count}
        assert empty == {"influence"}
        assert set(each.table["update"].to_pylist()) == {1, 2}


def test_the_parts_sum_to_the_measured_change(analyzed):
    tokens = arrays(*(each.table for each in analyzed[0]))
    total = tokens["own_state"] + tokens["interference"] + tokens["remainder"]
    assert np.abs(total - tokens["measured"]).max() <= 1e-14
    assert np.abs(tokens["measured"]).max() > 1e-3
    silent = tokens["coefficient"] == 0  # no penalty here: without a gradient of its own a token has no own term
    assert silent.any()
    assert np.abs(tokens["own_state"][silent]).max() == 0
    assert (np.abs(tokens["own_state"][~silent]) > 0).mean() > 0.9


def test_the_tables_lie_in_the_run(run, analyzed):
    record = RunRecord(run)
    assert record.analysis_steps() == [1, 3]
    assert record.read_analysis(3).equals(analyzed[0][1].table)


def test_the_probe_saw_the_same_tokens_and_the_same_changes(run, analyzed):
    """In float32 during the training, in float64 afterwards."""
    seen, again = arrays(RunRecord(run).read_probe(1)), arrays(analyzed[0][0].table)
    for name in ("update", "problem_id", "sample", "position", "token_id"):
        assert (seen[name] == again[name]).all(), name
    for name, tolerance in (("measured", 1e-4), ("first_order", 5e-3), ("exact", 1e-5), ("entropy", 1e-5)):
        assert np.linalg.norm(seen[name] - again[name]) <= tolerance * np.linalg.norm(again[name]), name


def test_without_own_gradients_in_float32_elsewhere(run, tmp_path):
    request = AnalyzeRequest(run, (3,), 20, own=False, dtype="float32", out=tmp_path / "deep" / "er")
    (step,) = analyze_run(request, lambda _: None)
    assert step.path == tmp_path / "deep" / "er" / "step_000003.parquet"
    tokens = arrays(step.table)
    assert len(tokens["step"]) <= 40
    assert np.isnan(tokens["own_state"]).all()
    assert np.isnan(tokens["interference"]).all()
    assert np.isfinite(tokens["remainder"]).all()


def test_plain_descent_is_taken_apart_beside_the_step(run, tmp_path):
    (step,) = analyze_run(AnalyzeRequest(run, (3,), 20, sgd=0.05, out=tmp_path), lambda _: None)
    tokens = arrays(step.table)
    was, plain = (
        {name: values[tokens["optimiser"] == each] for name, values in tokens.items()} for each in ("AdamW", "SGD")
    )
    assert len(was["step"]) == len(plain["step"]) > 0
    for name in ("update", "problem_id", "sample", "position", "logprob", "entropy", "exact", "grad_norm"):
        assert (was[name] == plain[name]).all(), name
    assert (plain["learning_rate"] == 0.05).all()
    assert not plain["carried"].any()
    assert np.abs(plain["measured"] - was["measured"]).max() > 1e-4
    assert np.corrcoef(plain["first_order"], plain["measured"])[0, 1] > 0.9
    total = plain["own_state"] + plain["interference"] + plain["remainder"]
    assert np.abs(total - plain["measured"]).max() <= 1e-14


def test_an_interrupt_leaves_whole_tables_or_none(run, tmp_path):
    def note(line):
        if line.startswith("step 1:"):
            signal.raise_signal(signal.SIGINT)

    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(Interrupted, match=rf"^interrupted; kept: step 1 in {tmp_path / 'tables'}$") as stopped:
        analyze_run(AnalyzeRequest(run, positions=4, own=False, out=tmp_path / "tables"), note)
    assert stopped.value.exit_code == 130
    assert [path.name for path in (tmp_path / "tables").iterdir()] == ["step_000001.parquet"]
    assert RunRecord(run).status.state == "finished"
    assert signal.getsignal(signal.SIGINT) is handler


def test_what_cannot_be_analyzed_says_what_can(run, tmp_path):
    with pytest.raises(RunFolderError, match=r"step 2 cannot be analysed: .* steps 1 and 3 can be"):
        analyze_run(AnalyzeRequest(run, (1, 2)), print)
    with pytest.raises(RunFolderError, match="does not exist"):
        analyze_run(AnalyzeRequest(tmp_path / "nowhere"), print)
    bare = tmp_path / "bare"
    shutil.copytree(run, bare)
    (bare / "rollouts" / "step_000001.parquet").unlink()
    assert list(analysable(RunRecord(bare))) == [3]
    shutil.rmtree(bare / "checkpoints")
    with pytest.raises(RunFolderError, match="no step has both its rollouts and the checkpoint before it"):
        analyze_run(AnalyzeRequest(bare), print)
    shutil.rmtree(bare / "rollouts")
    with pytest.raises(RunFolderError, match=r"no rollouts are stored; train with log\.rollouts_every: 1"):
        analyze_run(AnalyzeRequest(bare), print)


def test_branches_are_not_replayed(run, tmp_path):
    other = tmp_path / "branched"
    shutil.copytree(run, other)
    text = (other / "spec.json").read_text()
    branching = '"branching": {"roots": 2, "branches": 1, "top": 20, "min_characters": 1}'
    (other / "spec.json").write_text(text.replace('"branching": null', branching))
    with pytest.raises(DataError, match=r"rollout\.branching do not say which tokens were given"):
        analyze_run(AnalyzeRequest(other), lambda _: None)


def test_a_step_that_went_otherwise_is_said_to():
    step = AnalyzedStep(3, [], None, 0.2, None, 1.0)
    assert not step.agrees
    assert not AnalyzedStep(3, [], None, 0.0, 0.5, 1.0).agrees
    assert AnalyzedStep(3, [], None, 1e-6, 1e-4, 1.0).agrees


def test_a_handful_of_steps_is_spread_over_those_there_are():
    assert spread([1, 6, 11], 4) == [1, 6, 11]
    assert spread(range(1, 52, 5), 4) == [1, 16, 36, 51]
    assert spread(range(1, 102), 4) == [1, 34, 68, 101]
