"""The guardian with small stand-in commands; with a real server: test_generator.py and tests/run/test_vllm.py."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from steerctl.engine.vllm.server import GUARDIAN

CHILDREN = """
import subprocess, sys, time
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(99)"])
print("up", flush=True)
time.sleep(99)
"""
TRAINER = """
import os, subprocess, sys, time
from pathlib import Path
guardian, folder, program = sys.argv[1:]
log = open(folder + ".log", "w")
command = [sys.executable, "-I", "-S", guardian, str(os.getpid()), folder, sys.executable, "-c", program]
process = subprocess.Popen(command, stdout=log, start_new_session=True)
print(process.pid, flush=True)
time.sleep(99)
"""


def members(group: int) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if os.getpgid(int(entry.name)) == group and "Z" not in (entry / "stat").read_text().rpartition(")")[2][:3]:
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def until(condition, seconds: float = 15) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and not condition():
        time.sleep(0.05)
    return bool(condition())


def guarded(folder: Path, program: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-I", "-S", GUARDIAN, str(os.getpid()), str(folder), sys.executable, "-c", program],
        stdout=(folder.parent / "log").open("w"),
        start_new_session=True,
    )


def test_all_processes_end_and_the_folder_goes_when_the_trainer_is_killed(tmp_path: Path) -> None:
    folder = tmp_path / "weights"
    folder.mkdir()
    trainer = subprocess.Popen(
        [sys.executable, "-c", TRAINER, GUARDIAN, str(folder), CHILDREN], stdout=subprocess.PIPE, text=True
    )
    group = int(trainer.stdout.readline())
    assert until(lambda: len(members(group)) == 3)
    os.kill(trainer.pid, signal.SIGKILL)
    trainer.wait()
    assert until(lambda: members(group) == [])
    assert not folder.exists()


def test_all_processes_end_on_request_and_the_folder_stays(tmp_path: Path) -> None:
    folder = tmp_path / "weights"
    folder.mkdir()
    process = guarded(folder, CHILDREN)
    assert until(lambda: len(members(process.pid)) == 3)
    process.terminate()
    assert process.wait(20) == -signal.SIGKILL
    assert until(lambda: members(process.pid) == [])
    assert folder.exists()
    assert "guardian: server stopped" in (tmp_path / "log").read_text()


def test_a_server_that_ends_by_itself_is_reported(tmp_path: Path) -> None:
    folder = tmp_path / "weights"
    folder.mkdir()
    process = guarded(folder, "raise SystemExit(3)")
    process.wait(20)
    assert "guardian: server ended by itself, exit code 3" in (tmp_path / "log").read_text()
    assert folder.exists()
