"""Servers that somebody else started: looked at before they are used, given weights, never restarted."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from steerctl.engine.vllm.endpoint import Endpoint
from steerctl.engine.vllm.fleet import push
from steerctl.engine.vllm.versions import check_version
from steerctl.engine.vllm.wire import Connection, Lost
from steerctl.errors import EngineError
from steerctl.spec.generator import VllmGenerator

LOOK_SECONDS = 30.0


def attach(spec: VllmGenerator, max_model_len: int) -> tuple[Endpoint, ...]:
    """The servers at `spec.urls`, each asked who it is.

    Raises:
        EngineError: nobody answers, it is no vLLM, the key is wrong, or it serves only shorter sequences.
        UserError: its version is outside the tested window.
    """
    key = os.environ.get(spec.api_key_env, "")
    return tuple(_attach(url.rstrip("/"), key, spec, max_model_len) for url in spec.urls)


def push_attached(endpoints: Sequence[Endpoint], folder: Path, version: int, timeout: float) -> None:
    """Give every server the weights in `folder`.

    Raises:
        EngineError: one of them did not take them; the others may have.
    """
    for endpoint in endpoints:
        try:
            push(Connection(endpoint.url, endpoint.key, timeout), folder, version)
        except Lost as lost:
            raise EngineError(
                f"{endpoint.url}: did not take over the weights: {lost}; it must see the folder {folder.parent}"
                " and should be started anew"
            ) from lost


def _attach(url: str, key: str, spec: VllmGenerator, max_model_len: int) -> Endpoint:
    connection = Connection(url, key, LOOK_SECONDS)
    version = _look(connection, "/version", "version")
    model = _look(connection, "/v1/models", "data")
    check_version(str(version), url, any_version=spec.any_version)
    try:
        name, longest = str(model[0]["id"]), int(model[0]["max_model_len"])
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise EngineError(f"{url}: serves no model") from error
    if longest < max_model_len:
        raise EngineError(f"{url}: serves {longest} tokens, {max_model_len} are needed; raise its --max-model-len")
    return Endpoint(url, key, url, None, name)


def _look(connection: Connection, path: str, key: str) -> Any:  # noqa: ANN401 (JSON)
    try:
        answer = connection.call("GET", path)
    except Lost as lost:
        raise EngineError(f"{connection.url}: no vLLM server answers there: {lost}") from lost
    finally:
        connection.close()
    if not isinstance(answer, dict) or key not in answer:
        raise EngineError(f"{connection.url}: not a vLLM server: its {path} does not say its {key}")
    return answer[key]
