"""Pushes from memory to a real vLLM server on the CPU, over gloo in place of NCCL; it serves an exported model.

What only a GPU can show (NCCL, CUDA IPC, memory given back by sleeping) is not shown anywhere here.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch

from steerctl.engine.embedded import LocalGenerator
from steerctl.engine.models import eos_ids, load_model, load_tokenizer, resolve
from steerctl.engine.vllm.command import ServerSettings
from steerctl.engine.vllm.generator import ServedGenerator
from steerctl.engine.vllm.planes import NcclPlane
from steerctl.engine.vllm.transfer import DirectPush
from steerctl.engine.vllm.update import hold, release, sleep
from steerctl.engine.vllm.weights import find_tie
from steerctl.engine.vllm.wire import Connection
from steerctl.errors import EngineError, SpecError
from steerctl.spec.experiment import PolicySpec
from tests.engine.vllm import gloo_backend
from tests.engine.vllm.served import SAMPLING, TOLERANCE, Trainer, open_generator, questions, same

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]
ROOT = Path(__file__).resolve().parents[3]
LIMIT = 100_000
"""Bytes of a bucket: the tiny policy needs many, and its embedding is larger than one."""


class GlooPlane(NcclPlane):
    """The trainer's side of NcclPlane with the communicator of gloo_backend.py."""

    def open(self) -> None:
        self._group = gloo_backend.Group("127.0.0.1", self._port, 0, self._world)

    def transmit(self, bucket, failed) -> None:
        self._group.broadcast(bucket.data, src=0)


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> PolicySpec:
    """What `checkpoint.export` writes at the end of a run: a policy under ZeRO-3, moved away from where it began."""
    folder = tmp_path_factory.mktemp("export")
    command = [sys.executable, str(Path(__file__).with_name("export_worker.py")), str(folder)]
    subprocess.run(command, check=True, env=os.environ | {"PYTHONPATH": str(ROOT)})
    return PolicySpec(model=str(folder))


@pytest.fixture(scope="module")
def trainer(exported) -> Trainer:
    return Trainer(exported)


@pytest.fixture(scope="module")
def served(exported, trainer, tmp_path_factory):
    """One server for this file, started with the backend of gloo_backend.py."""
    patch, command = pytest.MonkeyPatch(), ServerSettings.command
    extra = ["--weight-transfer-config", f'{{"backend": "{gloo_backend.NAME}"}}']
    extra += ["--worker-extension-cls", "tests.engine.vllm.gloo_backend.Extension"]
    patch.setattr(ServerSettings, "command", lambda self, folder, port: [*command(self, folder, port), *extra])
    patch.setenv("PYTHONPATH", str(ROOT))
    generator = open_generator(exported, trainer, tmp_path_factory.mktemp("logs"))
    try:
        generator.load_weights(trainer.weights(), 0)
        yield generator
    finally:
        generator.close()
        patch.undo()


@pytest.fixture(scope="module")
def direct(served, trainer):
    plane = GlooPlane(servers=1, tensor_parallel=1, limit=LIMIT)
    push = DirectPush(plane, trainer, timeout=60, limit=LIMIT)
    yield push
    push.close()


@pytest.fixture
def requests(exported):
    return questions(load_tokenizer(exported))


def calls_of(served: ServedGenerator) -> list[str]:
    """Every call that the server's own log says was answered, in order."""
    log = (served._logs / "server-0.log").read_text()
    return re.findall(r'"(?:POST|GET) (/[^ ]*) HTTP/1.1" 200', log)


def admin(served) -> Connection:
    (endpoint,) = served.endpoints
    return Connection(endpoint.look().url, endpoint.key, 60)


def test_an_exported_model_is_the_same_in_vllm_in_transformers_and_in_the_embedded_generator(
    served, exported, trainer, requests
) -> None:
    tokenizer, original = load_tokenizer(exported), load_model(PolicySpec(), seed=0)
    assert any(not torch.equal(value, dict(original.named_parameters())[name]) for name, value in trainer.weights())
    groups = served.generate(requests, SAMPLING)
    assert trainer.largest_difference(requests, groups) < TOLERANCE  # Trainer is transformers' from_pretrained
    stop_ids = eos_ids(resolve(exported), tokenizer)
    embedded = LocalGenerator(load_model(exported, seed=0), tokenizer, max_sequences=64, stop_ids=stop_ids)
    assert trainer.largest_difference(requests, embedded.generate(requests, SAMPLING)) < TOLERANCE


def test_weights_pushed_from_memory_are_exact(served, direct, exported, trainer, requests) -> None:
    tie = find_tie(exported, Path(exported.model))
    before = served.generate(requests, SAMPLING)
    for seed, version in ((1, 1), (2, 2)):
        trainer.train(seed)
        direct.push(served.endpoints, trainer.weights(), version, tie)
        after = served.generate(requests, SAMPLING)
        assert trainer.largest_difference(requests, after) < TOLERANCE
        assert served.endpoints[0].weight_version(60) == str(version)
        assert not same(before, after)
        before = after


def test_the_server_was_told_in_this_order(served, direct, exported, trainer) -> None:
    tie = find_tie(exported, Path(exported.model))
    start = len(calls_of(served))
    sent = direct._plane._group.broadcasts
    direct.push(served.endpoints, trainer.weights(), 3, tie)
    calls = calls_of(served)
    assert calls.count("/init_weight_transfer_engine") == 1
    told = [call for call in calls[start:] if call != "/health"]
    updates = told.count("/update_weights")
    assert updates > 3
    assert direct._plane._group.broadcasts - sent == updates
    assert told == [
        "/pause?mode=keep",
        "/start_weight_update",
        *["/update_weights"] * updates,
        "/finish_weight_update",
        "/update_weight_version",
        "/reset_prefix_cache",
        "/resume",
    ]


def test_a_server_that_sleeps_is_woken_around_the_update(served, trainer, requests) -> None:
    """vLLM keeps count of sleeping on a CPU too, only no memory is freed."""
    undisturbed = served.generate(requests, SAMPLING)
    start = len(calls_of(served))
    sleep(admin(served))
    assert admin(served).call("GET", "/is_sleeping") == {"is_sleeping": True}
    asleep = hold(admin(served), may_sleep=True)
    assert asleep
    release(admin(served), 9, asleep=asleep)
    assert admin(served).call("GET", "/is_sleeping") == {"is_sleeping": False}
    told = [call for call in calls_of(served)[start:] if call not in ("/health", "/is_sleeping")]
    assert told == [
        "/sleep?level=1&mode=wait",
        "/wake_up?tags=weights",
        "/update_weight_version",
        "/reset_prefix_cache",
        "/wake_up?tags=kv_cache",
        "/resume",
    ]
    assert same(undisturbed, served.generate(requests, SAMPLING))


def test_a_generator_that_rests_is_woken_by_the_next_push(served, trainer, requests, monkeypatch) -> None:
    monkeypatch.setattr(served._fleet, "_spec", served._spec.model_copy(update={"colocate": "sleep"}))
    served.rest()
    assert admin(served).call("GET", "/is_sleeping") == {"is_sleeping": True}
    waiting = threading.Thread(target=served.generate, args=(requests[:1], SAMPLING), daemon=True)
    waiting.start()
    waiting.join(1.0)
    assert waiting.is_alive()  # nothing is sampled with old weights meanwhile
    incarnation = served.endpoints[0].look().incarnation
    served.load_weights(trainer.weights(), 10)
    waiting.join(60)
    assert not waiting.is_alive()
    assert served.endpoints[0].look().incarnation == incarnation
    assert trainer.largest_difference(requests, served.generate(requests, SAMPLING)) < TOLERANCE


@pytest.mark.parametrize("changes", [{"transport": "nccl"}, {"transport": "ipc"}, {"colocate": "sleep"}])
def test_what_needs_a_gpu_is_refused_on_a_cpu_before_a_server_starts(trainer, tmp_path, changes) -> None:
    generator = open_generator(PolicySpec(), trainer, tmp_path, **changes)
    with pytest.raises(SpecError, match="transport nccl and ipc, and colocate: sleep, need GPUs"):
        generator.load_weights(trainer.weights(), 0)
    generator.close()
    assert list(tmp_path.iterdir()) == []


class Ranks:
    """Two ranks that are threads of this process."""

    world_size = 2

    def __init__(self, rank: int, table: list, barrier: threading.Barrier) -> None:
        self.rank, self._table, self._barrier = rank, table, barrier

    def all_gather(self, value):
        self._table[self.rank] = value
        self._barrier.wait(30)
        found = list(self._table)
        self._barrier.wait(30)
        return found


def test_a_refused_bucket_stops_every_rank_after_the_gathering(served, exported, trainer) -> None:
    """Last in this file: the server is left in the middle of an update."""
    table, barrier, told, exhausted = [None, None], threading.Barrier(2), [None, None], [0, 0]

    class Refused(GlooPlane):
        def invitation(self, server):
            raise AssertionError("it has joined already")

        def announcement(self, bucket, offers):
            return {**bucket.announcement, "shapes": "no list"}

        def transmit(self, bucket, failed):
            """The server refuses before it would receive."""

    def weights(rank):
        yield from trainer.weights()
        exhausted[rank] = 1

    def run(rank: int) -> None:
        push = DirectPush(Refused(1, 1, LIMIT), Ranks(rank, table, barrier), timeout=20, limit=LIMIT)
        push._joined = True
        with pytest.raises(EngineError) as caught:
            push.push(served.endpoints, weights(rank), 11)
        told[rank] = str(caught.value)

    threads = [threading.Thread(target=run, args=(rank,)) for rank in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert exhausted == [1, 1]
    assert told[0] == told[1]
    assert ": failed at /update_weights: " in told[0]
