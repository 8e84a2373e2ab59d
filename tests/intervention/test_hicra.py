from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from steerctl.errors import DataError
from steerctl.intervention._grams import fingerprints, inside, mined, read_grams
from steerctl.intervention._remarks import Surroundings, unread
from steerctl.intervention.hicra import Hicra
from tests.batches import make_case
from tests.intervention.populations import (
    assert_baseline,
    assert_detached,
    assert_finite_at_the_edges,
    assert_same_in_every_cut,
    assert_turns_only,
    groups_of,
    turned,
)
from tests.oracles import intervention_b as oracle

TOKENS = [[1, 2, 3, 4, 9], [7, 1, 2, 3], [1, 2, 3, 5, 6, 7], [8, 8, 8, 8], [5, 6, 7, 8], [1, 2]]
VALUES = [[1.0, 1.0, 1.0], [0.0, 1.0, 1.0]]


def seeing(method, tokens=TOKENS, values=VALUES):
    """A fresh one that has seen these responses."""
    method = Hicra(**method.model_dump())
    rows = iter(tokens)
    groups = [
        replace(
            group,
            rollouts=tuple(replace(r, token_ids_T=np.array(next(rows), dtype=np.int32)) for r in group.rollouts),
        )
        for group in groups_of(values)
    ]
    assert method.reshape(groups) is groups
    return method


def of_tokens(rows, prompt=1):
    """A batch of these targets, the first `prompt` of which are not trained."""
    case = make_case(rows=len(rows), length=max(map(len, rows)))
    targets, mask = torch.zeros_like(case.batch.target_ids_BT), torch.zeros_like(case.batch.loss_mask_BT)
    for index, row in enumerate(rows):
        targets[index, : len(row)] = torch.tensor(row)
        mask[index, prompt : len(row)] = True
    advantages = torch.where(mask, torch.tensor([1.0, -2.0] * len(rows))[: len(rows), None], 0.0)
    batch = replace(case.batch, target_ids_BT=targets, loss_mask_BT=mask, advantages_BT=advantages)
    return replace(case, batch=batch)


def grams_file(tmp_path, entries):
    path = tmp_path / "grams.json"
    path.write_text(json.dumps(entries))
    return str(path)


def test_golden_file(tmp_path):
    method = Hicra(grams_file=grams_file(tmp_path, [[1, 2], [5, 6, 7]]))
    case = of_tokens([[1, 2, 1, 2, 0, 5], [0, 5, 6, 7, 1, 2]])
    dials = turned(seeing(method), case)
    # the first [1, 2] begins in the prompt; 1.2·1 and 0.8·(−2)
    assert dials.advantages_BT[0].tolist() == pytest.approx([0, 1, 1.2, 1.2, 1, 1])
    assert dials.advantages_BT[1].tolist() == pytest.approx([0, -1.6, -1.6, -1.6, -1.6, -1.6])
    assert_turns_only(dials, case, "advantages_BT")
    assert_detached(dials)


def test_golden_mined():
    # right responses hold [1, 2, 3] three times, [5, 6, 7] twice; all else once
    method = seeing(Hicra(top_fraction=0.5))
    case = of_tokens([[0, 1, 2, 3, 5, 6, 7]])
    assert turned(method, case).advantages_BT[0].tolist() == pytest.approx([0, 1.2, 1.2, 1.2, 1, 1, 1])
    both = seeing(Hicra(top_fraction=1.0))
    assert turned(both, case).advantages_BT[0].tolist() == pytest.approx([0] + [1.2] * 6)


@pytest.mark.parametrize("seed", range(5))
def test_oracle_of_mining_and_marking(seed):
    rng = np.random.default_rng(seed)
    documents = [rng.integers(0, 3, rng.integers(0, 30)).tolist() for _ in range(12)]
    lengths = range(2, 5)
    found = mined([np.array(d, dtype=np.int32) for d in documents], lengths, 1.0, 4)
    expected = oracle.strategic(documents, lengths, 1.0, 4)
    assert len(found) == len(expected) > 3
    rows, mask = rng.integers(0, 3, (6, 40)), np.zeros((6, 40), dtype=bool)
    mask[:, 3:30] = True
    marks = inside(rows, mask, found, lengths)
    for row, marked in zip(rows, marks, strict=True):
        assert marked[3:30].tolist() == oracle.planning(row[3:30].tolist(), expected)
        assert not marked[:3].any()
        assert not marked[30:].any()


def test_the_commonest_grams_are_kept():
    documents = [[1, 2], [1, 2, 3], [1, 2, 3], [4, 5], [4, 5, 2]]
    expected = {(1, 2): 3, (2, 3): 2, (4, 5): 2, (5, 2): 1}
    for fraction, count in ((0.01, 1), (0.5, 2), (1.0, 4)):
        found = mined([np.array(d) for d in documents], range(2, 3), fraction, 1)
        assert len(found) == count
        best = max(expected, key=expected.get)
        assert fingerprints(np.array([best]), 2)[0, 0] in found


def test_fingerprints_tell_grams_lengths_and_orders_apart():
    rng = np.random.default_rng(0)
    grams = {tuple(rng.integers(0, 200_000, n)) for n in (1, 2, 3, 5) for _ in range(5000)}
    assert len({int(fingerprints(np.array([gram]), len(gram))[0, 0]) for gram in grams}) == len(grams)
    pair = fingerprints(np.array([[1, 2], [2, 1]]), 2)
    assert pair[0, 0] != pair[1, 0]


def test_mining_happens_once_and_waits_for_a_right_response():
    method = seeing(Hicra(top_fraction=1.0), values=[[0.0] * 3] * 2)
    case = of_tokens([[0, 1, 2, 3]])
    assert torch.equal(turned(method, case).advantages_BT, case.batch.advantages_BT)
    late = seeing(Hicra(top_fraction=1.0))
    state = late.state_dict()
    late.reshape(groups_of(VALUES))
    assert late.state_dict() == state
    assert not torch.equal(turned(late, case).advantages_BT, case.batch.advantages_BT)


def test_grams_survive_a_checkpoint():
    through, resumed = seeing(Hicra()), Hicra()
    resumed.load_state_dict(json.loads(json.dumps(dict(through.state_dict()))))
    resumed.reshape(groups_of([[1.0, 1.0, 1.0]]))
    case = of_tokens([[0, 1, 2, 3, 4]])
    assert torch.equal(turned(resumed, case).advantages_BT, turned(through, case).advantages_BT)
    assert resumed.state_dict() == through.state_dict()
    untouched = Hicra()
    untouched.load_state_dict(json.loads(json.dumps(dict(Hicra().state_dict()))))
    assert untouched.state_dict() == Hicra().state_dict()


def test_texts_are_tokenised_with_and_without_a_space_ahead(tmp_path):
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Split

    tokenizer = Tokenizer(WordLevel({"wait": 0, " wait": 1, " so": 2}))
    tokenizer.pre_tokenizer = Split(" ", "merged_with_next")
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    file = grams_file(tmp_path, ["wait so", [9, 9]])
    assert read_grams(file, str(tmp_path / "tokenizer.json")) == [[9, 9], [0, 2], [1, 2]]
    with pytest.raises(DataError, match="need tokenizer_file"):
        read_grams(file, None)
    with pytest.raises(DataError, match="not a tokenizer"):
        read_grams(file, file)


@pytest.mark.parametrize("entries", [[], {}, [[]], [[1.5]], [[True]], [[-1]], [3]])
def test_unusable_files_are_one_line(tmp_path, entries):
    with pytest.raises(DataError, match=r"grams\.json: "):
        read_grams(grams_file(tmp_path, entries), None)
    with pytest.raises(DataError, match="cannot be read as JSON"):
        read_grams(str(tmp_path / "absent.json"), None)


def test_neutral_settings_are_the_baseline_bit_for_bit():
    assert_baseline(seeing(Hicra(alpha=0.0, top_fraction=1.0)), make_case(seed=1, drift=0.5))


def test_it_knows_neither_micro_batches_nor_ranks():
    case = make_case(seed=2, rows=8, drift=0.5)
    method = Hicra(gram_min=1, gram_max=1, top_fraction=0.5)
    assert not torch.equal(turned(seeing(method), case).advantages_BT, case.batch.advantages_BT)
    assert_same_in_every_cut(lambda: seeing(method), case)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_edges_stay_finite(value):
    method = Hicra(gram_min=1, gram_max=12, top_fraction=1.0)
    assert_finite_at_the_edges(lambda: seeing(method, values=[[value] * 3] * 2))
    assert_finite_at_the_edges(lambda: seeing(method, tokens=[[]] * 6, values=[[value] * 3] * 2))


def test_it_must_have_seen_the_groups():
    with pytest.raises(RuntimeError, match="hicra has not seen the groups"):
        turned(Hicra(), make_case())


def test_lengths_out_of_order_are_refused():
    with pytest.raises(ValidationError, match="must not be below gram_min"):
        Hicra(gram_min=4, gram_max=3)


def test_remarks():
    around = Surroundings(100, 4, 8, "token_mean", "ppo_clip", "token", dynamic_sampling=False)
    assert list(Hicra().remarks(around)) == list(Hicra(grams_file="grams.json").remarks(around)) == []
    assert "alpha 0" in next(Hicra(alpha=0.0).remarks(around))
    assert list(unread(Hicra(grams_file="grams.json", gram_max=7))) == [
        "gram_max plays no part with grams_file grams.json"
    ]
    assert list(unread(Hicra(tokenizer_file="tokenizer.json"))) == ["tokenizer_file plays no part without grams_file"]
