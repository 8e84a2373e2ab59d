"""Sampling inside the training process, from a plain copy of the policy: small models, no server."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from steerctl.engine.cache import FixedCache
from steerctl.engine.draws import Draw, draw, uniforms
from steerctl.engine.models import eos_ids, load_model, resolve
from steerctl.errors import EngineError, ModelError
from steerctl.spec.experiment import PolicySpec
from steerctl.spec.generator import EmbeddedGenerator
from steerctl.types import Request, Rollout, Sampling

SHRINK_BELOW = 0.75
"""Finished sequences are dropped from the batch when fewer than this share of its rows still runs."""


@dataclass(frozen=True, slots=True)
class _Job:
    """One sequence to sample: request `request`, sample `sample` of it."""

    request: int
    sample: int
    prompt_ids: tuple[int, ...]
    seed: int


class LocalGenerator:
    """`protocols.Generator` on a plain model.

    Sequences are decoded side by side, `max_sequences` at a time, prompts padded on the left and computed once per
    request. The token at index t of a sample is decided by the model's distribution and the t-th uniform number of its
    seed: the same request gives the same tokens whatever shares its batch, up to the rounding of batched products, and
    the same list of requests gives bit-identical results.

    Raises:
        ModelError: a layer of the model is not plain full attention.
    """

    def __init__(
        self,
        model: Any,  # noqa: ANN401 (a transformers model)
        tokenizer: Any,  # noqa: ANN401 (a transformers tokenizer)
        *,
        max_sequences: int,
        stop_ids: frozenset[int],
        on_tokens: Callable[[int], None] | None = None,
    ) -> None:
        _check_attention(model.config.get_text_config())
        self._model = model.eval().requires_grad_(requires_grad=False)
        self._tokenizer = tokenizer
        self._max_sequences = max_sequences
        self._stop_ids = torch.tensor(sorted(stop_ids), device=model.device)
        self._on_tokens = on_tokens
        self.version = 0

    @torch.no_grad()
    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[tuple[Rollout, ...]]:
        """One tuple of rollouts per request, one rollout per seed, in order."""
        jobs = [
            _Job(index, sample, request.prompt_ids, seed)
            for index, request in enumerate(requests)
            for sample, seed in enumerate(request.seeds)
        ]
        # Prompts of like length share a wave, so that little is padded; the sort is stable, results are put back.
        jobs.sort(key=lambda job: len(job.prompt_ids))
        found: dict[tuple[int, int], Rollout] = {}
        for start in range(0, len(jobs), self._max_sequences):
            wave = jobs[start : start + self._max_sequences]
            for job, rollout in zip(wave, self._decode(wave, sampling), strict=True):
                found[job.request, job.sample] = rollout
        return [
            tuple(found[index, sample] for sample in range(len(request.seeds)))
            for index, request in enumerate(requests)
        ]

    @torch.no_grad()
    def load_weights(self, weights: Iterable[tuple[str, Tensor]], version: int) -> None:
        """Take over new weights, in place; rollouts from now on carry `version`.

        Raises:
            EngineError: a name is unknown, a shape differs, or a parameter was not given.
        """
        own = dict(self._model.named_parameters(remove_duplicate=False))
        missing = dict(self._model.named_parameters())
        for name, value in weights:
            if name not in own or own[name].shape != value.shape:
                raise EngineError(f"the generator has no parameter {name} of shape {tuple(value.shape)}")
            own[name].copy_(value)
            missing.pop(name, None)
        if missing:
            raise EngineError(f"{len(missing)} parameters were not pushed to the generator, e.g. {next(iter(missing))}")
        self.version = version

    def close(self) -> None:
        """Forget the model; may be called twice."""
        self._model = None

    def _decode(self, wave: Sequence[_Job], sampling: Sampling) -> list[Rollout]:
        count, limit = len(wave), sampling.max_tokens
        device = self._model.device
        uniform_BL = uniforms([job.seed for job in wave], limit)
        tokens_BL = torch.zeros((count, limit), dtype=torch.int64)
        logprobs_BL = torch.zeros((count, limit), dtype=torch.float32)
        lengths_B = torch.full((count,), limit)
        stopped_B = torch.zeros(count, dtype=torch.bool)
        rows_A = torch.arange(count)  # the running sequences, by their place in the wave
        batch = _Batch.prefill(self._model, [job.prompt_ids for job in wave], limit)
        for t in range(limit):
            drawn: Draw = draw(batch.logits_AV, uniform_BL[rows_A, t], sampling)
            ended_A = torch.isin(drawn.token_B, self._stop_ids).cpu()
            running_A = ~stopped_B[rows_A]
            alive = rows_A[running_A]
            tokens_BL[alive, t] = drawn.token_B.cpu()[running_A]
            logprobs_BL[alive, t] = drawn.logprob_B.cpu()[running_A]
            newly = rows_A[running_A & ended_A]
            stopped_B[newly], lengths_B[newly] = True, t + 1
            if self._on_tokens is not None:
                self._on_tokens(len(alive))
            keep_A = ~stopped_B[rows_A]
            left = int(keep_A.sum())
            if left == 0 or t + 1 == limit:
                break
            token_A = drawn.token_B
            if left < SHRINK_BELOW * len(rows_A):
                kept = keep_A.nonzero()[:, 0]
                rows_A, token_A = rows_A[kept], token_A[kept.to(device)]
                batch.select(kept.to(device))
            batch.advance(token_A)
        parts = zip(wave, tokens_BL, logprobs_BL, lengths_B.tolist(), stopped_B.tolist(), strict=True)
        return list(self._rollouts(parts))

    def _rollouts(self, parts: Iterable[tuple[_Job, Tensor, Tensor, int, bool]]) -> Iterator[Rollout]:
        for job, tokens_L, logprobs_L, length, stopped in parts:
            ids = tokens_L[:length]
            yield Rollout(
                token_ids_T=ids.numpy().astype(np.int32),
                logprobs_T=logprobs_L[:length].numpy().copy(),
                text=self._tokenizer.decode(ids[: length - stopped].tolist(), skip_special_tokens=True),
                finish="stop" if stopped else "length",
                seed=job.seed,
                weight_version=self.version,
            )


def embedded_generator(
    policy: PolicySpec,
    spec: EmbeddedGenerator,
    tokenizer: Any,  # noqa: ANN401 (a transformers tokenizer)
    *,
    seed: int,
    device: torch.device,
    on_tokens: Callable[[int], None] | None = None,
) -> LocalGenerator:
    """The generator of an experiment, holding the policy's initial weights on `device`.

    Raises:
        ModelError: the model cannot be loaded or sampled from here.
    """
    return LocalGenerator(
        load_model(policy, seed=seed).to(device),
        tokenizer,
        max_sequences=spec.max_sequences,
        stop_ids=eos_ids(resolve(policy), tokenizer),
        on_tokens=on_tokens,
    )


class _Batch:
    """Sequences in flight: cache, mask, positions and the logits of the next token."""

    def __init__(self, model: Any, cache: FixedCache, mask_AL: Tensor, logits_AV: Tensor, prompt: int) -> None:  # noqa: ANN401 (a transformers model)
        self._model, self._cache = model, cache
        self._mask_AL, self.logits_AV, self._length = mask_AL, logits_AV, prompt
        self._position_A = mask_AL[:, :prompt].sum(dim=1)
        self._padded = not bool(mask_AL[:, :prompt].all())

    @classmethod
    def prefill(cls, model: Any, prompts: Sequence[tuple[int, ...]], max_tokens: int) -> _Batch:  # noqa: ANN401 (a transformers model)
        """Compute each different prompt once, padded on the left, and repeat its cache for its samples."""
        places = {prompt: place for place, prompt in enumerate(dict.fromkeys(prompts))}
        width = max(len(prompt) for prompt in places)
        ids_PL = torch.zeros((len(places), width), dtype=torch.int64)
        mask_PL = torch.zeros((len(places), width + max_tokens), dtype=torch.bool)
        for prompt, place in places.items():
            ids_PL[place, width - len(prompt) :] = torch.tensor(prompt)
            mask_PL[place, width - len(prompt) :] = True  # and every place for a token to come
        ids_PL, mask_PL = ids_PL.to(model.device), mask_PL.to(model.device)
        cache = FixedCache(model.config.get_text_config().num_hidden_layers, width + max_tokens)
        positions_PL = (mask_PL[:, :width].cumsum(dim=1) - 1).clamp(min=0)
        mask = None if bool(mask_PL[:, :width].all()) else _causal(mask_PL[:, :width])
        logits_PV = model(
            input_ids=ids_PL, attention_mask=mask, position_ids=positions_PL, past_key_values=cache, logits_to_keep=1
        ).logits[:, -1]
        rows_A = torch.tensor([places[prompt] for prompt in prompts], device=model.device)
        cache.select(rows_A)
        return cls(model, cache, mask_PL[rows_A], logits_PV[rows_A], width)

    def select(self, rows: Tensor) -> None:
        """Keep the given rows."""
        self._cache.select(rows)
        self._mask_AL, self._position_A = self._mask_AL[rows], self._position_A[rows]

    def advance(self, token_A: Tensor) -> None:
        """Append one token to every sequence and compute the next logits."""
        self._length += 1
        mask = self._mask_AL[:, None, None, : self._length] if self._padded else None
        self.logits_AV = self._model(
            input_ids=token_A[:, None],
            attention_mask=mask,
            position_ids=self._position_A[:, None],
            past_key_values=self._cache,
        ).logits[:, -1]
        self._position_A = self._position_A + 1


def _check_attention(config: Any) -> None:  # noqa: ANN401 (a transformers configuration)
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    windowed = getattr(config, "layer_types", None) is None and getattr(config, "sliding_window", None)
    if kinds != {"full_attention"} or windowed:
        raise ModelError(
            f"rollout.generator embedded: {config.model_type} mixes attention kinds; use another generator"
        )
    how = getattr(config, "_attn_implementation", None) or "sdpa"
    if how != "sdpa":  # others take no boolean mask, or add it to the scores, and padding would be attended to
        raise ModelError(f"rollout.generator embedded: {config.model_type} runs {how} attention; use another generator")


def _causal(mask_PL: Tensor) -> Tensor:
    """Boolean attention mask [P, 1, L, L]: a query sees the tokens up to itself that are no padding, and itself."""
    length = mask_PL.shape[1]
    square_LL = torch.ones((length, length), dtype=torch.bool, device=mask_PL.device).tril()
    itself_LL = torch.eye(length, dtype=torch.bool, device=mask_PL.device)
    return (square_LL & mask_PL[:, None, :] | itself_LL)[:, None]
