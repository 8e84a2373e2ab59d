"""Every way an answer can be wrong, over real sockets."""

from __future__ import annotations

import http.server
import socket
import threading

import pytest

from steerctl.engine.vllm.wire import Connection, Faulty, Hung, Lost
from steerctl.errors import EngineError

ANSWERS = {
    "/good": (200, b'{"a": 1}'),
    "/empty": (200, b""),
    "/page": (200, b"<html>"),
    "/v1/key": (401, b'{"error":"Unauthorized"}'),
    "/broken": (500, b'{"error":{"message":"EngineCore\\nencountered an issue.","code":500}}'),
    "/v1/long": (400, b'{"error":{"message":"max_tokens=500 is too large"}}'),
    "/v1/model": (404, b'{"error":{"message":"The model `x` does not exist."}}'),
    "/absent": (404, b'{"detail":"Not Found"}'),
}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        status, text = ANSWERS[self.path]
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *arguments) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def url():
    web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=web.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{web.server_port}"
    web.shutdown()


def test_answers_are_parsed(url) -> None:
    connection = Connection(url, "key", 5)
    assert connection.call("GET", "/good") == {"a": 1}
    assert connection.call("GET", "/empty") is None
    connection.close()
    assert connection.call("GET", "/good") == {"a": 1}


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/page", "answers /page with something that is no JSON; not a vLLM server"),
        ("/v1/key", "the server refuses the API key; see rollout.generator.api_key_env"),
        ("/v1/long", "HTTP 400 to /v1/long: max_tokens=500 is too large"),
        ("/v1/model", "HTTP 404 to /v1/model: The model `x` does not exist."),
        ("/absent", "has no /absent; not a vLLM server started with VLLM_SERVER_DEV_MODE=1"),
    ],
)
def test_what_another_try_would_not_mend(url, path: str, said: str) -> None:
    with pytest.raises(EngineError) as caught:
        Connection(url, "key", 5).call("GET", path)
    assert str(caught.value) == f"{url}: {said}"


def test_a_server_in_trouble_is_named_on_one_line(url) -> None:
    with pytest.raises(Faulty, match=r"^HTTP 500: EngineCore encountered an issue\.$"):
        Connection(url, "key", 5).call("GET", "/broken")


def test_nobody_there_and_nobody_answering() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        silent = f"http://127.0.0.1:{listening.getsockname()[1]}"
        with pytest.raises(Hung, match=r"no answer within 0\.2 s"):
            Connection(silent, "key", 0.2).call("GET", "/health")
    with pytest.raises(Lost) as caught:
        Connection(silent, "key", 5).call("GET", "/health")
    assert type(caught.value) is Lost
