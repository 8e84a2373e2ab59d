"""Which tokens are looked at: a pure function of seed, update and lengths, whatever the cut into micro-batches."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from steerctl.analysis.positions import choose, lengths_of, packed, places, probe_mask
from tests.batches import cut, make_case

LENGTHS = {row: 3 + row % 7 for row in range(40)}


def alone(value):
    return [value]


def chosen(**changes):
    settings = {"seed": 1, "update": 0, "positions": 30, "sequences": 10} | changes
    return choose(changes.pop("lengths", LENGTHS), **{k: v for k, v in settings.items() if k != "lengths"})


def tokens(found):
    return {(row, place) for row, places_T in found.items() for place in places_T.tolist()}


def test_as_many_as_asked_for_from_no_more_responses_than_allowed():
    found = chosen()
    assert len(tokens(found)) == 30
    assert len(found) <= 10
    assert all(0 <= place < LENGTHS[row] for row, place in tokens(found))
    assert all((np.diff(places_T) > 0).all() for places_T in found.values())


def test_all_there_are_where_there_are_fewer():
    assert tokens(chosen(positions=1000, sequences=1000)) == {(r, p) for r, n in LENGTHS.items() for p in range(n)}
    assert chosen(lengths={4: 0}) == {}
    assert tokens(chosen(lengths={4: 0, 9: 2})) == {(9, 0), (9, 1)}


def test_the_order_of_the_rows_does_not_matter_and_seed_and_update_do():
    backwards = dict(reversed(LENGTHS.items()))
    assert tokens(chosen(lengths=backwards)) == tokens(chosen())
    assert len({frozenset(tokens(chosen(seed=s, update=u))) for s in (1, 2**63 - 1) for u in (0, 1, 2)}) == 6


def test_fewer_positions_are_a_part_of_more():
    assert tokens(chosen(positions=10)) < tokens(chosen(positions=30))


def test_every_response_and_every_place_has_the_same_chance():
    lengths = dict.fromkeys(range(20), 5)
    draws = 2000
    rows, at = np.zeros(20), np.zeros(5)
    for update in range(draws):
        for row, place in tokens(choose(lengths, seed=3, update=update, positions=10, sequences=4)):
            rows[row] += 1
            at[place] += 1
    assert rows == pytest.approx(np.full(20, draws * 10 / 20), rel=0.15)
    assert at == pytest.approx(np.full(5, draws * 10 / 5), rel=0.05)


def test_cut_into_micro_batches_the_same_tokens_are_marked():
    whole = make_case(rows=6).batch
    parts = [part.batch for part in cut(make_case(rows=6), [1, 3, 2])]
    lengths = lengths_of([whole], alone)
    assert lengths_of(parts, alone) == lengths
    assert lengths == {row: int(whole.loss_mask_BT[row].sum()) for row in range(6)}
    found = choose(lengths, seed=1, update=2, positions=9, sequences=4)
    mask = probe_mask(whole, found)
    assert int(mask.sum()) == 9
    assert bool((mask <= whole.loss_mask_BT).all())
    assert torch.equal(torch.cat([probe_mask(part, found) for part in parts]), mask)
    where = places(whole, mask)
    assert list(zip(where.row_N.tolist(), where.position_N.tolist(), strict=True)) == sorted(tokens(found))


def test_lengths_of_several_ranks_are_one():
    parts = [part.batch for part in cut(make_case(rows=6), [4, 2])]
    shares = [lengths_of([part], alone) for part in parts]
    assert lengths_of([parts[0]], lambda _: shares) == lengths_of([make_case(rows=6).batch], alone)


def marked(batch, *places):
    mask = torch.zeros_like(batch.loss_mask_BT)
    for row, place in places:
        mask[row, place] = True
    return mask


def test_a_pack_holds_the_chosen_sequences_and_nothing_after_the_last_chosen_token():
    batch = make_case(rows=6).batch
    mask = marked(batch, (1, 2), (4, 3))
    (pack,) = packed([mask], 1000)
    small = pack.batch([batch], [mask])
    assert small.row_B.tolist() == [1, 4]
    assert torch.equal(small.input_ids_BT, batch.input_ids_BT[[1, 4], :4])
    assert torch.equal(small.target_ids_BT[small.loss_mask_BT], batch.target_ids_BT[mask])
    assert torch.equal(small.advantages_BT[small.loss_mask_BT], batch.advantages_BT[mask])
    assert (small.old, small.num_tokens) == (None, batch.num_tokens)


def narrow(batch, width):
    names = ("input_ids_BT", "target_ids_BT", "loss_mask_BT", "advantages_BT", "rollout_logprobs_BT")
    return replace(batch, old=None, ref_logprobs_BT=None, **{name: getattr(batch, name)[:, :width] for name in names})


def test_micro_batches_are_put_together_up_to_the_budget():
    parts = cut(make_case(rows=9), [3, 3, 3])
    batches = [narrow(part.batch, width) for part, width in zip(parts, (9, 6, 5), strict=True)]
    masks = [batch.loss_mask_BT for batch in batches]
    for budget, members in ((9 * 9, [(0, 1, 2)]), (6 * 9, [(0, 1), (2,)]), (1, [(0,), (1,), (2,)])):
        packs = packed(masks, budget)
        assert [pack.members for pack in packs] == members
        again = [pack.batch(batches, masks) for pack in packs]
        targets = torch.cat([batch.target_ids_BT[batch.loss_mask_BT] for batch in again])
        assert torch.equal(targets, torch.cat([batch.target_ids_BT[batch.loss_mask_BT] for batch in batches]))
        assert torch.cat([batch.row_B for batch in again]).tolist() == list(range(9))
        if budget > 1:
            assert all(batch.input_ids_BT.numel() <= budget for batch in again)


def test_without_a_token_one_position_is_left_for_the_collectives():
    batch = make_case(rows=6).batch
    nothing = torch.zeros_like(batch.loss_mask_BT)
    assert packed([nothing], 100) == []
    for mask, most in ((nothing, 1), (marked(batch, (2, 3)), 3)):
        *_, last = packs = packed([mask], 100, at_least=most)
        assert len(packs) == most
        small = last.batch([batch], [mask])
        assert small.input_ids_BT.shape == (1, 1)
        assert not small.loss_mask_BT.any()
