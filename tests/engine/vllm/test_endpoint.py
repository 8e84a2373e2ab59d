import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from steerctl.engine.vllm.endpoint import Endpoint, State, publish
from steerctl.errors import EngineError

STARTING = State(1, 0, "http://127.0.0.1:1", "starting")


def endpoint(tmp_path: Path, state: State) -> Endpoint:
    publish(tmp_path / "server.json", state)
    return Endpoint("vLLM server 0", "key", "", tmp_path / "server.json")


def test_a_state_is_read_back(tmp_path: Path) -> None:
    assert endpoint(tmp_path, STARTING).look() == STARTING
    assert Endpoint("x", "key", "http://there", None).look() == State(1, 0, "http://there", "ready")


def test_waiting_ends_when_the_server_is_ready(tmp_path: Path) -> None:
    served = endpoint(tmp_path, STARTING)
    ready = replace(STARTING, incarnation=2, phase="ready")
    threading.Timer(0.3, publish, (tmp_path / "server.json", ready)).start()
    assert served.await_ready(10) == ready


def test_waiting_ends_with_the_servers_own_words_or_with_patience(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="no memory"):
        endpoint(tmp_path, replace(STARTING, phase="failed", text="no memory")).await_ready(10)
    with pytest.raises(EngineError, match=r"vLLM server 0: not ready again within 0\.2 s"):
        endpoint(tmp_path, STARTING).await_ready(0.2)
    (tmp_path / "server.json").unlink()
    with pytest.raises(EngineError, match="state file"):
        Endpoint("vLLM server 0", "key", "", tmp_path / "server.json").look()


def test_only_the_process_that_was_seen_is_ended(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    seen = State(1, process.pid, "http://127.0.0.1:1", "ready")
    served = endpoint(tmp_path, replace(seen, incarnation=2))
    served.end(seen)
    assert process.poll() is None
    publish(tmp_path / "server.json", seen)
    served.end(seen)
    assert process.wait(5) == -9
    served.end(seen)  # it is gone
    with pytest.raises(EngineError, match="not ours to restart"):
        Endpoint("x", "key", "http://there", None).end(seen)
