"""The tabular study at small size: its command, its numbers, its states against slow oracles."""

import csv
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
import torch

FOLDER = Path(__file__).resolve().parents[2] / "experiments" / "tightness"
FAMILIES = ("llm", "zipf", "gaussian")


def load(name):
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def lines(tmp_path_factory):
    """(measurement, family, η, prediction, measure) -> line of the CSV."""
    out = tmp_path_factory.mktemp("tabular")
    command = [sys.executable, str(FOLDER / "tabular.py"), "--states", "600", "--seeds", "3", "--out", str(out)]
    readme = (FOLDER / "README.md").read_bytes()
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=FOLDER.parents[1])
    assert done.returncode == 0, done.stderr
    assert {path.name for path in out.iterdir()} == {"tabular.csv", "tabular.svg", "tabular.png"}
    assert (FOLDER / "README.md").read_bytes() == readme
    with (out / "tabular.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return {(r["measurement"], r["family"], r["eta"], r["prediction"], r["measure"]): r for r in rows}


def mean(lines, *key):
    return float(lines[key]["mean"])


def test_the_exact_form_is_exact_for_small_steps_in_every_family(lines):
    for family in FAMILIES:
        assert mean(lines, "A", family, "0.01", "exact", "r2") > 0.999
        assert mean(lines, "A", family, "0.01", "exact", "sign") > 0.99
    assert mean(lines, "B", "llm", "0.001", "population", "r2") > 0.999
    assert mean(lines, "B natural", "llm", "0.001", "population_natural", "r2") > 0.99
    assert mean(lines, "C", "llm", "0.001", "exact", "pearson") > 0.999
    assert mean(lines, "D", "llm", "0.01", "exact", "top_5_size") > 0.95


def test_the_papers_forms_are_ordered_as_the_derivation_says(lines):
    for family in FAMILIES:
        pearson = {
            name: mean(lines, "A", family, "0.01", name, "pearson")
            for name in ("exact", "own_logit", "released", "paper_integrand")
        }
        assert pearson["exact"] > pearson["own_logit"] > pearson["released"] > pearson["paper_integrand"] > 0.3
        assert mean(lines, "A", family, "0.01", "own_logit", "r2") > 0.2
        assert mean(lines, "A", family, "0.01", "released", "r2") < -10  # not weighted by π: far too large
        assert 0.02 < mean(lines, "A", family, "0.01", "released", "slope") < 0.3


def test_larger_steps_need_the_second_order_and_then_more(lines):
    for family in FAMILIES:
        exact, second = (mean(lines, "A", family, "1", name, "r2") for name in ("exact", "second_order"))
        assert 0.5 < exact < second < 1
        assert mean(lines, "A", family, "4", "exact", "r2") < 0.3
        drift = [mean(lines, "A", family, eta, "truth", "mean") for eta in ("0.01", "1", "4")]
        assert drift[0] > drift[1] > drift[2]


def test_most_of_the_prototypes_numbers_are_where_one_more_seed_would_be(lines):
    published = [row for row in lines.values() if row["prototype"]]
    assert len(published) > 200
    assert sum(row["inside"] == "True" for row in published) > 0.8 * len(published)


@pytest.mark.parametrize("family", FAMILIES)
def test_states_against_direct_computation(family):
    states = load("tabular_states")
    generator = torch.Generator().manual_seed(1)
    logits = states.draw_states(family, 6, 50, generator)
    logprobs = logits.log_softmax(-1)
    entropy = -(logprobs.exp() * logprobs).sum(-1)
    assert torch.allclose(states.entropy_of(logits + 700), entropy, atol=1e-12)
    toward = torch.nn.functional.one_hot(torch.arange(6), 50) - logprobs.exp()
    step = 1e-3
    up, down = (states.entropy_of(logits + sign * step * toward) for sign in (1, -1))
    found = states.second_derivative(logits, toward, logprobs.exp(), entropy)
    assert torch.allclose(found, (up - 2 * entropy + down) / step**2, atol=1e-5)


def test_one_token_moves_as_the_policy_gradient_says(monkeypatch):
    states = load("tabular_states")
    monkeypatch.setattr(states, "VOCABULARY", 30)
    monkeypatch.setattr(states, "CHUNK", 7)
    weight = torch.tensor([1.0, -0.5] * 10, dtype=torch.float64)
    sampled = states.one_token_each("gaussian", weight, (1e-4, 2.0), torch.Generator().manual_seed(2))
    predictions = sampled.predictions(1e-4)
    assert torch.allclose(predictions["second_order"], sampled.changes[1e-4], atol=1e-7)
    assert (predictions["exact"] - sampled.changes[1e-4]).abs().max() < 1e-3
    assert (predictions["exact"] - sampled.changes[2.0]).abs().max() > 1e-3
    ratio = predictions["released"] / predictions["own_logit"]
    assert torch.allclose(ratio, (-sampled.logprobs).exp(), rtol=1e-6)
