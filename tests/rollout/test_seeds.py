from steerctl.rollout.seeds import rollout_seed


def test_golden_value_never_changes():
    assert rollout_seed(1, 0, 0, 0) == 3381072289616014609


def test_every_coordinate_matters_and_seeds_fit_int64():
    seeds = {rollout_seed(a, b, c, d) for a in range(3) for b in range(-3, 3) for c in range(5) for d in range(8)}
    assert len(seeds) == 3 * 6 * 5 * 8
    assert all(0 <= seed < 2**63 for seed in seeds)
