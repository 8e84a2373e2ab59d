"""The transformer study at small size: its command, the identities of its tokens, its studies on made-up ones."""

import csv
import importlib
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

FOLDER = Path(__file__).resolve().parents[2] / "experiments" / "tightness"
DRAWN = ("rates_adamw", "rates_sgd", "parts", "forms", "predictions")
TABLES = tuple(f"{name}.csv" for name in ("agreement", "parts", "slices", "tails"))
NAMES = (*TABLES, *(f"{name}.{form}" for form in ("svg", "png") for name in DRAWN))


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """Folder of results and token table of one step of 8 problems."""
    out, tokens = tmp_path_factory.mktemp("study"), tmp_path_factory.mktemp("tokens")
    command = [sys.executable, str(FOLDER / "transformer.py"), "--seeds", "1", "--steps", "1", "--problems", "8"]
    command += ["--positions", "12", "--tokens", str(tokens), "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (path,) = tokens.glob("apart-*.parquet")
    table = pq.read_table(path)
    return out, {name: table.column(name).to_numpy() for name in table.column_names}


@pytest.mark.engine
def test_everything_is_written(measured):
    out, _ = measured
    assert {path.name for path in out.iterdir()} == {"transformer.txt", *(f"transformer_{name}" for name in NAMES)}
    with (out / "transformer_agreement.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["study"] for row in rows} == {"rates", "numbered", "forms", "pushes", "means", "singles", "norms"}
    assert {row["trained_at"] for row in rows} == {"0.0004", "0.0002"}
    assert "Pearson" in (out / "transformer.txt").read_text(encoding="utf-8")


@pytest.mark.engine
def test_the_parts_sum_and_small_steps_are_of_first_order(measured):
    _, tokens = measured
    assert len(tokens["measured"]) == 4 * 12 * 14
    total = tokens["own_state"] + tokens["interference"] + tokens["remainder"]
    assert np.allclose(total, tokens["measured"], rtol=1e-9, atol=1e-14)
    plain = tokens["optimiser"] == "SGD"
    assert not tokens["carried"][plain].any()
    assert tokens["carried"][~plain & (tokens["update"] > 1)].any()
    for name, rates in (("AdamW", (1e-6, 4e-3)), ("SGD", (1e-3, 1.0))):
        left = []
        for rate in rates:
            here = (tokens["optimiser"] == name) & np.isclose(tokens["learning_rate"], rate)
            left.append(np.square(tokens["remainder"][here]).sum() / np.square(tokens["measured"][here]).sum())
        assert left[0] < 1e-3 < left[1]


@pytest.mark.engine
def test_both_optimisers_are_sliced_alike(measured):
    out, _ = measured
    with (out / "transformer_slices.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["prediction"] == "exact"]
    counts = {}
    for row in rows:
        counts.setdefault((row["optimiser"], row["by"]), []).append(int(row["tokens"]))
    by = {"all", "step", "quadrant", "probability", "grad_norm"}
    assert {key for key in counts if key[1] != "learning_rate"} == {
        (name, each) for name in ("AdamW", "SGD") for each in by
    }
    assert all(sum(few) == 4 * 12 for (_, name), few in counts.items() if name != "learning_rate")
    assert (len(counts["AdamW", "learning_rate"]), len(counts["SGD", "learning_rate"])) == (8, 6)


@pytest.mark.engine
def test_tokens_without_push_have_no_own_state_term(measured):
    _, tokens = measured
    still = tokens["coefficient"] == 0
    assert 0 < still.sum() < still.size
    assert not tokens["own_state"][still].any()
    assert (tokens["own_state"][~still] != 0).mean() > 0.9
    assert (np.abs(tokens["measured"][still]) > 0).mean() > 0.9


def test_where_a_measure_falls_below_a_level():
    crossing = importlib.import_module("transformer_results").crossing
    points = [(1e-4, 1.0), (1e-3, 0.9), (1e-2, 0.5)]
    assert crossing(points, 0.95) == pytest.approx(10**-3.5)
    assert crossing(points, 0.7) == pytest.approx(10**-2.5)
    assert crossing(points, 0.4) == math.inf
    assert crossing(points, 1.1) == 0


def test_groups_hold_every_token_once():
    studies = importlib.import_module("transformer_studies")
    step, update = (np.ravel(each) for each in np.meshgrid([1, 3, 10], [1, 2, 3, 4]))
    groups = studies.moments({"step": step, "update": update})
    assert list(groups) == ["update 1.1", "later updates", "updates 1.2 to 1.4", "step 3", "step 10"]
    assert (groups["update 1.1"] | groups["later updates"]).all()
    assert np.sum([groups[name] for name in groups if name != "later updates"], axis=0).tolist() == [1] * 12
    random = np.random.default_rng(1)
    tokens = {
        "coefficient": random.normal(size=99) * (random.random(99) < 0.5),
        "logprob": -random.exponential(size=99),
    }
    assert np.sum(list(studies.pushes(tokens).values()), axis=0).tolist() == [1] * 99


def test_how_few_tokens_make_the_remainder():
    studies, results = (importlib.import_module(f"transformer_{name}") for name in ("studies", "results"))
    first = np.linspace(-1, 1, 200)
    change = first.copy()
    change[[3, 50]] += 3.0, 1.0
    tokens = {
        "optimiser": np.full(200, "SGD"), "learning_rate": np.full(200, 0.1), "trained_at": np.full(200, 4e-4),
        "step": np.full(200, 3), "update": np.ones(200, int), "first_order": first, "measured": change,
        "remainder": change - first,
    }  # fmt: skip
    tail = studies._tail(tokens, results.Cell("SGD", 0.1, 4e-4, results.LATER))
    assert (tail.count, tail.half, tail.most) == (200, 1, 1)
    assert tail.pearson < 0.95
    assert tail.pearson_without == pytest.approx(1)


def test_rates_and_tables_as_they_are_written():
    tables = importlib.import_module("transformer_tables")
    assert [tables.rate_text(rate) for rate in (1e-6, 4e-4, 3.5e-4, 0.01, 0.3, 1.0)] == [
        "1e-6", "4e-4", "3.5e-4", "0.01", "0.3", "1",
    ]  # fmt: skip
    assert tables.markdown(["a", "b"], [["1", "2"]]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"
