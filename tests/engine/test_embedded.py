"""The embedded generator against full forward passes of the same model."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from steerctl.engine.draws import draw, uniforms
from steerctl.engine.embedded import LocalGenerator, embedded_generator
from steerctl.engine.models import load_tokenizer
from steerctl.errors import EngineError, ModelError
from steerctl.spec.experiment import EmbeddedGenerator, PolicySpec
from steerctl.types import Request, Rollout, Sampling
from tests.engine.toy import END, toy_tokenizer, write_toy_model

SAMPLING = Sampling(temperature=0.8, top_p=0.95, top_k=50, max_tokens=12)
PROMPTS = [(5, 6, 7), (1, 2, 3, 4, 5, 6, 7, 8), (9,), (40, 30, 20, 10)]
REQUESTS = [Request(f"p{i}", ids, tuple(range(100 * i, 100 * i + 5))) for i, ids in enumerate(PROMPTS)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_toy_model(tmp_path_factory.mktemp("toy") / "model", layers=2, initializer_range=0.3)


def load(folder: Path):
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder)


def generator(model, *, max_sequences: int = 64, stop_ids: frozenset[int] = frozenset(), **more) -> LocalGenerator:
    return LocalGenerator(model, toy_tokenizer(), max_sequences=max_sequences, stop_ids=stop_ids, **more)


@torch.no_grad()
def by_hand(model, prompt: tuple[int, ...], seed: int, sampling: Sampling, stop: frozenset[int]):
    """One sequence, a full forward pass for every token, no cache."""
    ids, logprobs = list(prompt), []
    for t in range(sampling.max_tokens):
        logits = model(torch.tensor([ids])).logits[:, -1]
        drawn = draw(logits, uniforms([seed], sampling.max_tokens)[:, t], sampling)
        ids.append(int(drawn.token_B))
        logprobs.append(float(drawn.logprob_B))
        if ids[-1] in stop:
            break
    return ids[len(prompt) :], logprobs


def stopping(model) -> frozenset[int]:
    """Tokens frequent enough that some sequences end early."""
    seen = [int(t) for group in generator(model).generate(REQUESTS, SAMPLING) for r in group for t in r.token_ids_T]
    return frozenset(sorted(set(seen), key=seen.count)[-3:])


def same(one: Rollout, other: Rollout) -> bool:
    tokens = one.token_ids_T.tolist() == other.token_ids_T.tolist()
    return tokens and one.logprobs_T.tolist() == other.logprobs_T.tolist()


def test_batched_decoding_equals_one_sequence_at_a_time(folder: Path) -> None:
    model = load(folder)
    stop = stopping(model)
    groups = generator(model, stop_ids=stop).generate(REQUESTS, SAMPLING)
    finishes = set()
    for request, group in zip(REQUESTS, groups, strict=True):
        assert [rollout.seed for rollout in group] == list(request.seeds)
        for rollout in group:
            tokens, logprobs = by_hand(model, request.prompt_ids, rollout.seed, SAMPLING, stop)
            assert rollout.token_ids_T.tolist() == tokens
            assert rollout.logprobs_T.tolist() == pytest.approx(logprobs, abs=1e-4)
            assert rollout.finish == ("stop" if tokens[-1] in stop else "length")
            finishes.add(rollout.finish)
    assert finishes == {"stop", "length"}


def test_the_same_requests_repeat_bit_for_bit_and_waves_do_not_matter(folder: Path) -> None:
    model = load(folder)
    stop = stopping(model)
    first, again = (generator(model, stop_ids=stop).generate(REQUESTS, SAMPLING) for _ in range(2))
    assert all(same(a, b) for one, two in zip(first, again, strict=True) for a, b in zip(one, two, strict=True))
    waves = generator(model, stop_ids=stop, max_sequences=3).generate(REQUESTS, SAMPLING)
    tokens = [[r.token_ids_T.tolist() for r in group] for group in first]
    assert [[r.token_ids_T.tolist() for r in group] for group in waves] == tokens


def test_text_version_and_token_count(folder: Path) -> None:
    model, counted = load(folder), []
    stop = stopping(model)
    sampler = generator(model, stop_ids=stop, on_tokens=counted.append)
    sampler.load_weights(model.named_parameters(), 7)
    rollouts = [rollout for group in sampler.generate(REQUESTS, SAMPLING) for rollout in group]
    assert sum(counted) == sum(len(rollout.token_ids_T) for rollout in rollouts)
    for rollout in rollouts:
        shown = rollout.token_ids_T.tolist()[: -1 if rollout.finish == "stop" else None]
        assert rollout.text == toy_tokenizer().decode(shown, skip_special_tokens=True)
        assert rollout.weight_version == 7


def test_new_weights_are_what_is_sampled_from(folder: Path, tmp_path: Path) -> None:
    other = load(write_toy_model(tmp_path / "other", layers=2, initializer_range=0.2))
    sampler = generator(load(folder))
    old = sampler.generate(REQUESTS, SAMPLING)
    sampler.load_weights(((name, value.detach()) for name, value in other.named_parameters()), 1)
    new, expected = sampler.generate(REQUESTS, SAMPLING), generator(other).generate(REQUESTS, SAMPLING)
    assert all(same(a, b) for one, two in zip(new, expected, strict=True) for a, b in zip(one, two, strict=True))
    assert not same(old[0][0], new[0][0])


def test_a_generator_built_from_the_spec_samples_the_initial_policy(folder: Path) -> None:
    policy, spec = PolicySpec(model=str(folder)), EmbeddedGenerator(max_sequences=7)
    built = embedded_generator(policy, spec, load_tokenizer(policy), seed=1, device=torch.device("cpu"))
    found = built.generate(REQUESTS, SAMPLING)
    expected = generator(load(folder), stop_ids=frozenset({END}), max_sequences=7).generate(REQUESTS, SAMPLING)
    assert all(same(a, b) for one, two in zip(found, expected, strict=True) for a, b in zip(one, two, strict=True))


def test_a_push_that_is_incomplete_or_foreign_fails(folder: Path) -> None:
    model = load(folder)
    weights = dict(model.named_parameters())
    sampler = generator(load(folder))
    with pytest.raises(EngineError, match=r"1 parameters were not pushed to the generator, e.g. lm_head.weight"):
        sampler.load_weights([(n, v) for n, v in weights.items() if n != "lm_head.weight"], 1)
    with pytest.raises(EngineError, match=r"no parameter model.extra"):
        sampler.load_weights([*weights.items(), ("model.extra", torch.zeros(1))], 1)
    with pytest.raises(EngineError, match=r"no parameter lm_head.weight of shape"):
        sampler.load_weights([("lm_head.weight", torch.zeros(0))], 1)
    assert sampler.version == 0


def test_a_tied_head_may_be_named_or_not(tmp_path: Path) -> None:
    model = load(write_toy_model(tmp_path / "tied", tied=True))
    sampler = generator(load(tmp_path / "tied"))
    sampler.load_weights(model.named_parameters(), 1)
    sampler.load_weights(model.named_parameters(remove_duplicate=False), 2)
    assert sampler.version == 2


def test_mixed_attention_is_refused(tmp_path: Path) -> None:
    kinds = ["full_attention", "sliding_attention"]
    model = load(
        write_toy_model(tmp_path / "m", layers=2, use_sliding_window=True, sliding_window=4, layer_types=kinds)
    )
    with pytest.raises(ModelError, match="mixes attention kinds"):
        generator(model)


def test_attention_that_would_add_the_mask_to_the_scores_is_refused(folder: Path) -> None:
    """Eager attention sees through a boolean mask: prompts that are padded would be sampled from another policy."""
    model = load(folder)
    model.set_attn_implementation("eager")
    with pytest.raises(ModelError, match="runs eager attention"):
        generator(model)


def test_end_token_alone_gives_an_empty_text(folder: Path) -> None:
    model = load(folder)
    model.lm_head.weight.data.zero_()
    sampler = generator(model, stop_ids=frozenset(range(END + 8)))
    rollout = sampler.generate([Request("p", (1, 2), (5,))], SAMPLING)[0][0]
    assert (len(rollout.token_ids_T), rollout.text, rollout.finish) == (1, "", "stop")
    sampler.close()
    sampler.close()
