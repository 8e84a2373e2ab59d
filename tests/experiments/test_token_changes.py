"""The figures of single tokens' changes: their numbers where the answer is known, their sentences, their runs."""

import re

import numpy as np
import pytest

from experiments.figures import studies
from experiments.token_changes import figures, measures, sentences, tokens
from experiments.token_changes.drawings import draw_histograms, histogram_rows, scale_of
from steerctl.report.axis import SignedAxis
from steerctl.spec.load import load_spec


def table(count=600, seed=0, noise=0.5):
    """Half the tokens are pushed; own_logit is right but for its scale, covariance knows nothing."""
    rng = np.random.default_rng(seed)
    exact = rng.standard_t(4, count)
    pushed = np.arange(count) % 2 == 0
    measured = 1e-3 * (exact + noise * rng.standard_normal(count))
    probability = rng.uniform(0.001, 0.999, count)
    return {
        "step": 1 + np.arange(count) % 3,
        "problem_id": np.array([f"p{index % 20}" for index in range(count)], dtype=object),
        "advantage": np.where(rng.random(count) < 0.5, -1.0, 1.0),
        "coefficient": np.where(pushed, 1.0, 0.0),
        "passes": np.ones(count, dtype=bool),
        "ratio": np.full(count, 2.0),
        "logprob": np.log(2 * probability),
        "entropy": rng.uniform(0, 2, count),
        "own_logit": np.where(pushed, 40 * exact, 0.0),
        "squared": np.where(pushed, exact, 0.0),
        "exact": np.where(pushed, exact, 0.0),
        "released": np.where(pushed, exact, 0.0),
        "covariance": rng.standard_normal(count),
        "first_order": measured,
        "measured": measured,
    }


def row_of(rows, **wanted):
    (found,) = (row for row in rows if all(row[name] == value for name, value in wanted.items()))
    return found


def test_agreement_is_of_pushed_tokens_and_of_all_and_by_step():
    rows = measures.agreement_rows(table(), ["step"])
    assert len(rows) == 2 * len(measures.LABELS) * (1 + 3)
    assert row_of(rows, tokens="pushed", by="all", prediction="exact")["count"] == 300
    assert row_of(rows, tokens="all", by="step", group=2, prediction="exact")["count"] == 200
    truth = row_of(rows, tokens="all", by="all", prediction="first_order")
    assert (truth["pearson"], truth["r2"], truth["scaled_by"]) == (pytest.approx(1), pytest.approx(1), 1.0)
    form = row_of(rows, tokens="pushed", by="all", prediction="own_logit")
    assert form["scaled_by"] == pytest.approx(1e-3 / 40, rel=0.1)
    assert form["slope"] == pytest.approx(1)  # it is scaled to fit best
    assert form["pearson"] == pytest.approx(row_of(rows, tokens="pushed", by="all", prediction="exact")["pearson"])
    assert abs(row_of(rows, tokens="pushed", by="all", prediction="covariance")["pearson"]) < 0.2


def test_a_prediction_that_the_table_lacks_is_left_out():
    few = table() | {"first_order": np.full(600, np.nan)}
    assert "first_order" not in measures.names(few)
    assert {row["prediction"] for row in measures.agreement_rows(few, [])} == set(measures.LABELS) - {"first_order"}


def test_clips_are_counted_by_the_probability_when_sampled():
    few = table(1_000)
    probability = np.exp(few["logprob"]) / few["ratio"]
    few["passes"] = ~((probability <= 0.1) & (few["advantage"] < 0))
    rows = measures.clip_rows(few, measures.PROBABILITIES)
    assert sum(row["tokens"] for row in rows) == 1_000
    assert [row["clipped_below"] for row in rows[1:]] == [0] * 9
    assert [row["clipped_above"] for row in rows] == [0] * 10
    clipped = int((~few["passes"]).sum())
    assert rows[0]["clipped_below"] == clipped == rows[0]["per_1000"]
    assert rows[0]["rate"] == pytest.approx(clipped / rows[0]["tokens"])
    assert rows[0]["rate_low"] < rows[0]["rate"] < rows[0]["rate_high"]
    text = sentences.about_clips(rows, few)
    assert "100 (100 to 100) % of the clipped ones" in text
    assert text.endswith("with a probability over 0.9 it is 0.00 %.\n")


def test_entropy_bins_hold_equally_many_tokens():
    few = table()
    few["measured"] = -0.1 * few["entropy"]
    rows = measures.entropy_rows(few)
    assert [row["tokens"] for row in rows] == [60] * 10
    for row in rows:
        assert row["change"] == pytest.approx(-0.1 * row["entropy"])
        assert row["size"] == pytest.approx(-row["change"])
        assert row["change_low"] <= row["change"] <= row["change_high"]
    assert "Pearson -1.00 (-1.00 to -1.00)" in sentences.about_entropies(rows, few)


def test_shares_of_a_histogram_sum_to_one_and_forms_have_the_measured_size(tmp_path):
    sizes = {"small": table(seed=1), "large": table(seed=2)}
    rows = histogram_rows(sizes)
    shares = {}
    for row in rows:
        shares[row["size"], row["change"]] = shares.get((row["size"], row["change"]), 0) + row["share"]
    assert set(shares) == {
        (size, each) for size in sizes for each in ("measured", "own_logit", "covariance", "first_order")
    }
    assert list(shares.values()) == pytest.approx([1] * 8)
    few = measures.pushed(sizes["small"])
    scaled = few["own_logit"] * scale_of(few, "own_logit")
    assert np.square(scaled).sum() == pytest.approx(np.square(few["measured"]).sum())
    paths = tmp_path / "a.svg", tmp_path / "a.png"
    draw_histograms(rows, SignedAxis.of(few["measured"]), *paths)
    assert all(path.stat().st_size > 1_000 for path in paths)


class Made(figures.Study):
    """Tokens that no run had."""

    def sizes(self, which):
        return {size: table(seed=10 * which + index) for index, size in enumerate(("small", "shipped", "large"))}

    @property
    def main(self):
        few = table()
        few["passes"] = few["advantage"] > 0
        return few


@pytest.mark.parametrize("name", figures.MAKERS)
def test_every_figure_is_written_with_its_data_and_a_sentence(name, tmp_path):
    text = figures.MAKERS[name](Made("tiny", tmp_path), name)
    assert {path.name for path in tmp_path.iterdir()} == {f"{name}.{form}" for form in ("svg", "png", "csv")}
    assert text.endswith(".\n")
    assert re.search(r"\d", text)
    assert text.count("\n") == 1


def test_figures_ask_for_the_runs_they_show_and_no_others():
    study = figures.Study("tiny", tokens.HERE)
    main = figures.needed(study, ["fig1", "fig9", "fig10"])
    assert [(case.variant.stem, case.size, case.seed) for case in main] == [
        ("long", "shipped", seed) for seed in (1, 2, 3)
    ]
    every = figures.needed(study, list(figures.MAKERS))
    assert len(every) == len(set(every)) == 2 * 3 * 3
    assert [case.seed for case in every] == sorted(case.seed for case in every)
    assert {case.size for case in figures.needed(study, ["fig21"])} == {"small", "shipped", "large"}
    assert {case.variant.stem for case in figures.needed(study, ["fig21"])} == {"short"}


@pytest.mark.parametrize("scale", ["tiny", "paper"])
def test_every_run_is_an_experiment_that_loads(scale):
    for case in figures.needed(figures.Study(scale, tokens.HERE), list(figures.MAKERS)):
        file, *overrides = case.arguments
        spec = load_spec(file, overrides).spec
        assert spec.analysis.probe.every == 1
        assert spec.steps == 10
        assert spec.output == str(studies.RUNS / scale)
        assert case.size in spec.name
