"""The generator against a real vLLM server on the CPU, started once; every fault is a real one."""

from __future__ import annotations

import http.server
import itertools
import os
import re
import signal
import socket
import threading
import time
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from steerctl.engine.models import load_tokenizer
from steerctl.engine.vllm import server as server_module
from steerctl.engine.vllm.wire import Connection
from steerctl.errors import EngineError, UserError
from steerctl.spec.experiment import PolicySpec
from steerctl.types import Request
from tests.engine.vllm.served import (
    SAMPLING,
    TOLERANCE,
    Trainer,
    open_generator,
    parity_of,
    questions,
    same,
    strike,
)

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]

POLICY = PolicySpec()
END = 260


@pytest.fixture(scope="module")
def tokenizer():
    return load_tokenizer(POLICY)


@pytest.fixture(scope="module")
def trainer():
    return Trainer(POLICY)


@pytest.fixture(scope="module")
def served(trainer, tmp_path_factory):
    """A server with the trainer's weights. The first port it tries is taken, as can happen to any free port."""
    taken = socket.create_server(("127.0.0.1", 0))
    ports = [taken.getsockname()[1]]
    free_port = server_module.free_port
    server_module.free_port = lambda: ports.pop() if ports else free_port()
    generator = open_generator(POLICY, trainer, tmp_path_factory.mktemp("logs"))
    try:
        generator.load_weights(trainer.weights(), 0)
        yield generator
    finally:
        server_module.free_port = free_port
        generator.close()
        taken.close()


@pytest.fixture
def requests(tokenizer):
    return questions(tokenizer)


@pytest.fixture
def pushed(served, trainer):
    """The server, with the trainer's weights for certain; the version rises with every push."""
    trainer.planted.clear()
    served.load_weights(trainer.weights(), served.version + 1)
    return served


def admin(generator) -> Connection:
    (endpoint,) = generator.endpoints
    return Connection(endpoint.look().url, endpoint.key, 60)


def test_a_port_that_is_taken_is_not_the_end(served) -> None:
    (endpoint,) = served.endpoints
    assert endpoint.look().incarnation == 2
    assert "ddress already in use" in (served._logs / "server-0.log").read_text()


def test_the_key_is_neither_on_the_command_line_nor_in_the_log(pushed) -> None:
    (endpoint,) = pushed.endpoints
    said = [p.read_bytes().decode() for p in (server_module.Path("/proc")).glob("[0-9]*/cmdline") if os.access(p, 4)]
    assert any("vllm.entrypoints.openai.api_server" in each for each in said)
    assert not any(endpoint.key in each for each in [*said, (pushed._logs / "server-0.log").read_text()])


def test_log_probabilities_are_the_trainers_at_the_sampling_temperature(pushed, trainer, requests) -> None:
    groups = pushed.generate(requests, SAMPLING)
    assert trainer.largest_difference(requests, groups) < TOLERANCE
    rollouts = [rollout for group in groups for rollout in group]
    assert {rollout.weight_version for rollout in rollouts} == {pushed.version}
    assert [rollout.seed for rollout in rollouts] == [seed for request in requests for seed in request.seeds]
    assert {rollout.finish for rollout in rollouts} <= {"stop", "length"}
    for rollout in rollouts:
        ids = rollout.token_ids_T.tolist()
        assert (rollout.finish == "stop") == (ids[-1] == END)
        assert len(ids) == SAMPLING.max_tokens or rollout.finish == "stop"
        assert "<|eos|>" not in rollout.text


def test_a_sample_depends_on_its_seed_and_on_nothing_else(pushed, requests) -> None:
    first = pushed.generate(requests, SAMPLING)
    assert same(first, pushed.generate(requests, SAMPLING))
    assert same(first[::-1], pushed.generate(requests[::-1], SAMPLING))
    alone = replace(requests[2], seeds=requests[2].seeds[1:2])
    assert same([first[2][1:2]], pushed.generate([alone], SAMPLING))
    other = replace(requests[2], seeds=tuple(seed + 7 for seed in requests[2].seeds))
    assert not same([first[2]], [tuple(replace(r, seed=r.seed - 7) for r in pushed.generate([other], SAMPLING)[0])])


def test_no_request_is_no_work(pushed) -> None:
    assert pushed.generate([], SAMPLING) == []


def test_a_prompt_that_leaves_no_room_is_named(pushed) -> None:
    with pytest.raises(EngineError, match=r"problem long has 64 prompt tokens, the servers take 64"):
        pushed.generate([Request("long", (5,) * 64, (1,))], SAMPLING)
    (group,) = pushed.generate([Request("near", (5,) * 60, (1,))], SAMPLING)
    assert 1 <= len(group[0].token_ids_T) <= 4


def test_a_push_is_exact_and_checked(pushed, trainer, tokenizer, requests) -> None:
    before = pushed.generate(requests, SAMPLING)
    for seed in (1, 2):
        trainer.train(seed)
        pushed.load_weights(trainer.weights(), pushed.version + 1)
        found = parity_of(pushed, trainer, tokenizer).check(pushed.version)
        assert 0 < found["mismatch/parity/max"] < TOLERANCE
    after = pushed.generate(requests, SAMPLING)
    assert trainer.largest_difference(requests, after) < TOLERANCE
    assert not same(before, after)
    assert pushed.endpoints[0].weight_version(60) == str(pushed.version)


def test_one_stale_tensor_is_caught_at_the_push_that_brings_it(pushed, trainer, tokenizer) -> None:
    name = "model.layers.1.mlp.down_proj.weight"
    trainer.planted[name] = dict(trainer.weights())[name].detach().clone()
    trainer.train(3)
    pushed.load_weights(trainer.weights_as_pushed(), pushed.version + 1)
    with pytest.raises(EngineError, match=r"differ from the trainer's by [\d.e-]+ nats") as caught:
        parity_of(pushed, trainer, tokenizer).check(pushed.version)
    assert str(caught.value).endswith(f"the pushed weights are not the trainer's in {name}")


@pytest.mark.parametrize(
    ("stale", "named"),
    [
        ("lm_head.weight", "lm_head"),
        ("model.layers.2.self_attn.o_proj.weight", "model.layers.2.self_attn.o_proj.weight"),
        ("", "every parameter"),
    ],
)
def test_a_server_that_keeps_old_weights_is_caught_and_the_part_is_named(
    pushed, trainer, tokenizer, tmp_path, *, stale, named
) -> None:
    old = {name: value.detach().clone() for name, value in trainer.weights()}
    trainer.train(4)
    pushed.load_weights(trainer.weights(), pushed.version + 1)
    folder = pushed._folders.current
    mixed = {**load_file(folder / "model.safetensors"), **{n: old[n] for n in old if stale in n}}
    save_file(mixed, tmp_path / "model.safetensors", metadata={"format": "pt"})
    reload = {"method": "reload_weights", "kwargs": {"weights_path": str(tmp_path)}}
    admin(pushed).call("POST", "/collective_rpc", reload)
    with pytest.raises(EngineError) as caught:
        parity_of(pushed, trainer, tokenizer).check(pushed.version)
    told = re.search(r"the server still has the previous weights in (.*)$", str(caught.value))
    assert told is not None, str(caught.value)
    assert told.group(1) == named


def test_an_interrupted_push_leaves_the_old_weights(pushed, requests, trainer) -> None:
    before, version = pushed.generate(requests, SAMPLING), pushed.version

    def broken_off():
        for count, (name, value) in enumerate(trainer.weights()):
            if count == 5:
                raise RuntimeError("a rank is gone")
            yield name, torch.zeros_like(value)

    with pytest.raises(EngineError, match="the push of the weights was broken off: a rank is gone"):
        pushed.load_weights(broken_off(), version + 1)
    assert pushed.version == version
    assert same(before, pushed.generate(requests, SAMPLING))
    assert not list(pushed._folders.room.glob(f"weights-{version + 1}*"))


def test_answers_of_5xx_are_asked_again(pushed, requests) -> None:
    undisturbed = pushed.generate(requests, SAMPLING)
    admin(pushed).call("POST", "/pause?mode=abort")  # every new request: 503
    resume = threading.Timer(1.5, lambda: admin(pushed).call("POST", "/resume"))
    resume.start()
    start = time.monotonic()
    assert same(undisturbed, pushed.generate(requests, SAMPLING))
    assert time.monotonic() - start > 1
    assert pushed.endpoints[0].look().incarnation == 2


def test_a_running_server_can_be_used_by_its_url(pushed, requests, monkeypatch, tmp_path, trainer) -> None:
    (endpoint,) = pushed.endpoints
    state = endpoint.look()
    monkeypatch.setenv("OTHER_KEY", endpoint.key)
    attached = open_generator(POLICY, trainer, tmp_path, urls=[state.url + "/"], api_key_env="OTHER_KEY")
    longer = open_generator(POLICY, trainer, tmp_path, urls=[state.url], api_key_env="OTHER_KEY", max_model_len=4096)
    with pytest.raises(EngineError, match="serves 64 tokens, 4096 are needed"):
        longer.load_weights(trainer.weights(), 0)
    longer.close()
    try:
        attached.load_weights(trainer.weights(), 77)
        assert same(pushed.generate(requests, SAMPLING), attached.generate(requests, SAMPLING))
        assert attached.generate(requests[:1], SAMPLING)[0][0].weight_version == 77
        assert pushed.endpoints[0].weight_version(60) == "77"
    finally:
        attached.close()
    assert endpoint.look() == state  # closing it does not end the server


def test_a_wrong_key_is_one_clear_line(pushed, trainer, tmp_path, monkeypatch) -> None:
    url = pushed.endpoints[0].look().url
    monkeypatch.setenv("OTHER_KEY", "wrong")
    attached = open_generator(POLICY, trainer, tmp_path, urls=[url], api_key_env="OTHER_KEY")
    with pytest.raises(EngineError) as caught:
        attached.load_weights(trainer.weights(), 1)
    assert str(caught.value) == f"{url}: the server refuses the API key; see rollout.generator.api_key_env"
    attached.close()


def test_a_url_that_is_no_vllm_is_one_clear_line(trainer, tmp_path) -> None:
    web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
    threading.Thread(target=web.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{web.server_port}"
    said = {}
    for case, address in (("web page", url), ("nobody", "http://127.0.0.1:9")):
        attached = open_generator(POLICY, trainer, tmp_path, urls=[address])
        with pytest.raises(EngineError) as caught:
            attached.load_weights(trainer.weights(), 1)
        said[case] = str(caught.value)
        attached.close()
    web.shutdown()
    assert said["web page"].startswith(f"{url}: has no /version; not a vLLM server")
    assert said["nobody"].startswith("http://127.0.0.1:9: no vLLM server answers there: ")
    assert all("\n" not in text for text in said.values())


def test_a_version_outside_the_window_is_refused(trainer, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("importlib.metadata.version", lambda name: "0.9.1")
    generator = open_generator(POLICY, trainer, tmp_path)
    with pytest.raises(UserError, match=r"vLLM 0\.9\.1; tested are 0\.32 to 0\.33"):
        generator.load_weights(trainer.weights(), 0)
    generator.close()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["dies", "hangs"])
def test_a_server_that_fails_in_mid_batch_changes_nothing(pushed, requests, trainer, monkeypatch, number) -> None:
    undisturbed = pushed.generate(requests, SAMPLING)
    (endpoint,) = pushed.endpoints
    before, call, asked = endpoint.look().incarnation, Connection.call, itertools.count(1)

    def call_in_bad_luck(connection, method, path, body=None):
        if path == "/v1/completions" and next(asked) == 3:
            strike(endpoint, number)
        return call(connection, method, path, body)

    monkeypatch.setattr(Connection, "call", call_in_bad_luck)
    impatient = {"max_in_flight": 2, "request_timeout": 5.0}
    monkeypatch.setattr(pushed, "_spec", pushed._spec.model_copy(update=impatient))
    disturbed = pushed.generate(requests, SAMPLING)
    assert endpoint.look().incarnation == before + 1
    assert same(undisturbed, disturbed)
    assert trainer.largest_difference(requests, disturbed) < TOLERANCE


def test_a_server_that_hangs_in_a_push_is_started_with_the_new_weights(
    pushed, requests, trainer, tokenizer, monkeypatch
) -> None:
    (endpoint,) = pushed.endpoints
    before = endpoint.look().incarnation
    trainer.train(9)
    monkeypatch.setattr(pushed._fleet, "_spec", pushed._spec.model_copy(update={"request_timeout": 3.0}))
    strike(endpoint, signal.SIGSTOP)
    pushed.load_weights(trainer.weights(), pushed.version + 1)
    assert endpoint.look().incarnation == before + 1
    assert parity_of(pushed, trainer, tokenizer).check(pushed.version)["mismatch/parity/max"] < TOLERANCE
    assert trainer.largest_difference(requests, pushed.generate(requests, SAMPLING)) < TOLERANCE


def test_a_server_that_cannot_start_says_why_in_its_own_words(trainer, tmp_path) -> None:
    generator = open_generator(POLICY, trainer, tmp_path, max_model_len=100_000)
    with pytest.raises(EngineError) as caught:
        generator.load_weights(trainer.weights(), 0)
    generator.close()
    text = str(caught.value)
    assert text.startswith("vLLM server 0 did not start: ")
    assert "max_model_len (100000) is greater than the derived max_model_len" in text
    assert f"(log: {tmp_path / 'server-0.log'})" in text
    assert "\n" not in text
