"""`steerctl analyze` as a user types it."""

from __future__ import annotations

import csv
import io
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from rich.console import Console
from typer.testing import CliRunner

from steerctl.analysis.columns import COLUMNS
from steerctl.analysis.slices import GROUPINGS
from steerctl.cli import build
from steerctl.cli._laboratory import present, write_slices
from steerctl.errors import RunFolderError
from steerctl.run.analyze import AnalyzedStep, AnalyzeRequest
from tests.analysis.token_tables import token_table
from tests.run.command import environment
from tests.run.stored import stored_run

pytestmark = pytest.mark.timeout(600)


def step_of(tokens):
    count = len(tokens["step"])
    kinds = {"int32": pa.int32(), "bool": pa.bool_(), "string": pa.string(), "float64": pa.float64()}
    table = pa.table(
        {
            name: pa.array(tokens.get(name, [None] * count), kinds[column.kind], from_pandas=True)
            for name, column in COLUMNS.items()
        }
    )
    return AnalyzedStep(1, table, None, 0.0, None, 1.0)


def shown(tokens, columns=80):
    out = io.StringIO()
    present([step_of(tokens)], Console(file=out, width=columns, highlight=False))
    return out.getvalue()


def with_plain_descent():
    """Every token twice: as it was, and under SGD, where nothing is foretold rightly."""
    tokens = token_table()
    other = tokens | {"optimiser": np.full(288, "SGD"), "learning_rate": np.full(288, 0.1)}
    other["measured"] = -tokens["measured"]
    return {name: np.concatenate([values, other[name]]) for name, values in tokens.items()}


def test_every_prediction_and_every_part_has_a_line():
    tokens = token_table()
    filled = tokens["update"] > 1  # the first update of that table has no own terms
    text = shown({name: values[filled] for name, values in tokens.items()})
    lines = {line.split()[0]: line.split()[1:] for line in text.splitlines() if line.strip()}
    assert {"exact", "released", "own_state", "first_order", "interference", "remainder"} <= set(lines)
    assert "influence" not in lines
    pearson = np.corrcoef(tokens["exact"][filled], tokens["measured"][filled])[0, 1]
    assert float(lines["exact"][0]) == pytest.approx(pearson, abs=0.02)
    assert max(map(len, text.splitlines())) <= 80
    below = text.partition("part of the measured")[2].splitlines()[1:4]
    explained = [float(line.split("[")[-2].split()[-1]) for line in below]
    assert sum(explained) == pytest.approx(1, abs=0.02)


def test_without_own_terms_there_are_no_parts():
    tokens = token_table() | {name: np.full(288, np.nan) for name in ("own_state", "own_second_order", "interference")}
    text = shown(tokens)
    assert "first_order" in text
    assert "part of the measured" not in text


def test_the_tokens_that_lost_and_gained_most_are_named():
    tokens = token_table()
    below = shown(tokens).partition("total, nats")[2].splitlines()[1:]
    totals = {}
    for text, change in zip(tokens["text"], tokens["measured"], strict=True):
        totals[str(text)] = totals.get(str(text), 0.0) + change
    least, most = min(totals, key=totals.get), max(totals, key=totals.get)
    rows = [line for line in below if line.startswith("'")]
    assert rows[0].startswith(repr(least)), (rows, totals)
    assert rows[-1].startswith(repr(most)), (rows, totals)
    assert float(rows[0].split()[-2]) == pytest.approx(totals[least], rel=0.01)


def test_optimisers_are_summed_up_apart():
    text = shown(with_plain_descent())
    adamw, sgd = text.split("SGD at learning rate 0.1\n")
    assert adamw.startswith("AdamW at learning rate 1e-05, 0.0001\n")
    found = [float(line.split()[1]) for part in (adamw, sgd) for line in part.splitlines() if "first_order " in line]
    assert found == [1.0, -1.0]
    assert text.partition("total, nats")[2] == shown(token_table()).partition("total, nats")[2]  # movers: as it was


def test_slices_are_written_for_each_optimiser(tmp_path):
    write_slices([step_of(with_plain_descent())], tmp_path / "slices.csv")
    with (tmp_path / "slices.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert {line["by"] for line in lines} == set(GROUPINGS) - {"optimiser"}
    whole = {(x["optimiser"], x["prediction"]): x for x in lines if x["by"] == "all"}
    exact, measured = (token_table()[name] for name in ("exact", "measured"))
    expected = np.corrcoef(exact * token_table()["learning_rate"], measured)[0, 1]
    assert float(whole["AdamW", "exact"]["pearson"]) == pytest.approx(expected, rel=1e-4)
    assert float(whole["SGD", "exact"]["pearson"]) == pytest.approx(-np.corrcoef(exact, measured)[0, 1], rel=1e-4)
    assert sum(int(x["tokens"]) for x in lines if (x["prediction"], x["by"]) == ("exact", "step")) == 2 * 288
    write_slices([step_of({name: values[:0] for name, values in token_table().items()})], tmp_path / "none.csv")
    assert (tmp_path / "none.csv").read_text().count("\n") == 1


def test_no_tokens_are_a_line():
    assert shown({name: values[:0] for name, values in token_table().items()}).strip() == (
        "none of these steps has a trained token"
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return stored_run(tmp_path_factory.mktemp("stored"), steps=2, checkpoint={"every": 1, "export": False})


@pytest.mark.engine
def test_a_stored_run(run, tmp_path):
    rank = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")  # which this process is, since `run`
    plain = {name: value for name, value in environment(COLUMNS="100").items() if name not in rank}
    words = ["analyze", str(run), "--positions", "8", "--out", str(tmp_path / "tables")]
    words += ["--page", str(tmp_path / "tokens.html"), "--slices", str(tmp_path / "slices.csv")]
    command = [sys.executable, "-m", "steerctl", *words]
    done = subprocess.run(command, env=plain, capture_output=True, text=True, check=False, timeout=280)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0] == f"{run}: steps 1 and 2 of 2; loading the policy"
    assert sum(line.endswith("done again bit for bit") for line in lines) == 2
    for word in ("exact", "own_state + own_second_order", "first_order", "interference", "remainder"):
        assert any(line.startswith(word) for line in lines), word
    assert lines[-2:] == [f"page: {tmp_path / 'tokens.html'}", f"slices: {tmp_path / 'slices.csv'}"]
    assert (tmp_path / "slices.csv").read_text().startswith("optimiser,prediction,by,group,tokens,problems,mse,")
    page = (tmp_path / "tokens.html").read_text(encoding="utf-8")
    assert page.count("<article") > 0
    for label in ("measured", "first order, whole update", "own state", "exact", "released code"):
        assert label in page, label
    names = sorted(path.name for path in (tmp_path / "tables").iterdir())
    assert names == ["step_000001.parquet", "step_000002.parquet"]


@pytest.fixture
def call():
    """The command in this process, which it would leave deaf to Ctrl-C: it expects to be the last."""
    before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    yield lambda *words: CliRunner().invoke(build(), ["analyze", *map(str, words)])
    for each, handler in before.items():
        signal.signal(each, handler)


def test_options_make_the_request(call, monkeypatch):
    asked = []
    monkeypatch.setattr("steerctl.run.analyze.analyze_run", lambda request, _: asked.append(request) or [])
    monkeypatch.setattr("steerctl.cli._laboratory.present", lambda _: None)
    call("runs/x")
    words = ("--positions", 4, "--no-own", "--dtype", "float32", "--sgd", 0.1, "--out", "there")
    call("runs/x", "--step", 2, "--step", 5, *words)
    assert asked == [
        AnalyzeRequest(Path("runs/x")),
        AnalyzeRequest(Path("runs/x"), (2, 5), 4, own=False, dtype="float32", sgd=0.1, out=Path("there")),
    ]


def test_what_is_no_run_is_refused(call, tmp_path):
    refused = call(tmp_path / "nowhere")
    assert isinstance(refused.exception, RunFolderError)
    assert "does not exist" in str(refused.exception)
    assert call(tmp_path, "--step", 0).exit_code == 2
