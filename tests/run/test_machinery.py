import shutil
import socket
from importlib import metadata
from pathlib import Path

import pytest

from steerctl.run import machinery
from steerctl.spec.machine import Machine

GPUS = Machine(cores=8, gpus=2, cpu_bfloat16=True, wandb_login=False)


def test_a_gpu_that_the_installed_torch_cannot_use(monkeypatch) -> None:
    monkeypatch.setattr(
        machinery, "ask", lambda command: "NVIDIA H100, 81559 MiB, 580.1\nNVIDIA H100, 81559 MiB, 580.1"
    )
    monkeypatch.setattr(metadata, "version", lambda name: "2.13.0+cpu")
    ((name, state, text, advice),) = machinery.gpus(GPUS)
    assert (name, state) == ("GPU", "broken")
    assert text == "2: NVIDIA H100, 81559 MiB, 580.1, but torch 2.13.0+cpu is built for CPUs"
    assert advice == "pip uninstall -y torch && pip install torch==2.13.0"
    monkeypatch.setattr(metadata, "version", lambda name: "2.14.0")
    assert next(machinery.gpus(GPUS))[1] == "ok"


def test_little_shared_memory_is_told_with_what_to_do(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr(machinery, "SHARED_MEMORY", tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(1, 1, 64 * 2**20))
    found = {name: (state, advice) for name, state, _, advice in machinery.disks()}
    assert found["shared memory"][0] == "note"
    assert "rollout.generator.transport_dir" in found["shared memory"][1]
    monkeypatch.setattr(machinery, "SHARED_MEMORY", tmp_path / "absent")
    assert "cannot be written" in next(machinery.disks())[2]


def test_a_machine_without_a_loopback(monkeypatch) -> None:
    def refuse(*_args, **_named):
        raise OSError("Network is unreachable")

    assert next(machinery.network())[1] == "ok"
    monkeypatch.setattr(socket, "create_connection", refuse)
    assert next(machinery.network())[:2] == ("loopback", "broken")


def test_programs_that_are_not_there_come_with_their_command(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(machinery.sys, "executable", str(tmp_path / "python"))
    assert [(name, advice) for name, _, _, advice in machinery.compilers()] == [
        ("g++", "apt-get install g++"),
        ("ninja", "pip install ninja"),
    ]
    assert next(machinery.sandbox()) == ("bubblewrap", "note", "not found", "apt-get install bubblewrap")


@pytest.mark.parametrize("code", ["exit 1", "exit 0"])
def test_a_bubblewrap_is_tried_out(monkeypatch, tmp_path: Path, code: str) -> None:
    program = tmp_path / "bwrap"
    program.write_text(f"#!/bin/sh\n{code}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert next(machinery.sandbox())[1] == ("ok" if code == "exit 0" else "note")


def test_a_program_that_fails_is_nothing() -> None:
    assert machinery.ask(["false"]) is None
    assert machinery.ask(["/no/such/program"]) is None
    assert machinery.ask(["echo", "hello"]) == "hello"
