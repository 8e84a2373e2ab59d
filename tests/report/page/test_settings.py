"""Methods as changes to their baseline."""

from steerctl.report.page.settings import Change, changes, clip_also

BASE = {"optim.lr": 1e-6, "algorithm.loss.kind": "ppo_clip", "algorithm.loss.clip_ratio_high": 0.2, "on": True}


def test_a_plug_in_is_one_change():
    other = BASE | {"algorithm.interventions.0.kind": "steer", "algorithm.interventions.0.weight_min": 0.7}
    assert changes(BASE, other) == [Change("algorithm.interventions.0", "none", "steer {weight_min: 0.7}")]
    assert changes(other, BASE) == [Change("algorithm.interventions.0", "steer {weight_min: 0.7}", "none")]


def test_another_kind_is_one_change_and_another_value_is_one():
    gspo = {"optim.lr": 1e-6, "algorithm.loss.kind": "gspo", "algorithm.loss.clip_ratio_high": 4e-4, "on": True}
    before, after = "ppo_clip {clip_ratio_high: 0.2}", "gspo {clip_ratio_high: 0.0004}"
    assert changes(BASE, gspo) == [Change("algorithm.loss", before, after)]
    assert changes(BASE, BASE | {"optim.lr": 5e-6, "on": None}) == [
        Change("optim.lr", "1e-06", "5e-06"),
        Change("on", "true", "null"),
    ]
    assert changes(BASE, dict(BASE)) == []


def test_a_clip_bound_that_differs_besides():
    wide = BASE | {"algorithm.loss.clip_ratio_high": 0.28}
    assert not clip_also(changes(BASE, wide))
    assert clip_also(changes(BASE, wide | {"optim.lr": 1.0}))
