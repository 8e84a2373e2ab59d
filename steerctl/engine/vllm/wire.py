"""One HTTP request to a server, with its failures named.

The standard library's client: no dependency, and each thread keeps one connection, which is what backpressure needs.
"""

from __future__ import annotations

import http.client
import json
from typing import Any
from urllib.parse import urlsplit

from steerctl.errors import EngineError

SHOWN = 300
"""Characters of a server's own error text that are passed on."""


class Lost(Exception):
    """The server did not answer: nobody listens, or the connection broke."""


class Hung(Lost):
    """It did not answer in time."""


class Faulty(Lost):
    """It answered that something is wrong with itself (HTTP 5xx)."""


class Connection:
    """A connection to one server that is opened when needed, for one thread.

    Raises (from `call`):
        Lost, Hung, Faulty: another try may help.
        EngineError: it will not: wrong key, no vLLM, or a request the server refuses.
    """

    def __init__(self, url: str, key: str, timeout: float) -> None:
        self.url, self._key = url, key
        parts = urlsplit(url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._prefix = parts.path.rstrip("/")
        self._http = kind(parts.hostname or "", parts.port, timeout=timeout)

    def call(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401 (JSON)
        """The answer, parsed; None if it is empty."""
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self._key}"}
        data = None if body is None else json.dumps(body)
        try:
            self._http.request(method, self._prefix + path, data, headers)
            response = self._http.getresponse()
            text = response.read()
        except TimeoutError as error:
            self.close()
            raise Hung(f"no answer within {self._http.timeout:g} s") from error
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise Lost(str(error) or type(error).__name__) from error
        return self._parsed(path, response.status, text)

    def close(self) -> None:
        """Break off; the next call opens it again."""
        self._http.close()

    def _parsed(self, path: str, status: int, text: bytes) -> Any:  # noqa: ANN401 (JSON)
        if status == http.HTTPStatus.UNAUTHORIZED:
            raise EngineError(f"{self.url}: the server refuses the API key; see rollout.generator.api_key_env")
        if status >= http.HTTPStatus.INTERNAL_SERVER_ERROR:
            raise Faulty(f"HTTP {status}: {_message(text)}")
        if status == http.HTTPStatus.NOT_FOUND and "model" not in _message(text):
            raise EngineError(f"{self.url}: has no {path}; not a vLLM server started with VLLM_SERVER_DEV_MODE=1")
        if status >= http.HTTPStatus.BAD_REQUEST:
            raise EngineError(f"{self.url}: HTTP {status} to {path}: {_message(text)}")
        if not text:
            return None
        try:
            return json.loads(text)
        except ValueError as error:
            raise EngineError(
                f"{self.url}: answers {path} with something that is no JSON; not a vLLM server"
            ) from error


def _message(text: bytes) -> str:
    """The text of an error answer, on one line."""
    try:
        found = json.loads(text)["error"]
        said = found["message"] if isinstance(found, dict) else found
    except (ValueError, KeyError, TypeError):
        said = text.decode("utf-8", errors="replace")
    return " ".join(str(said).split())[:SHOWN]
