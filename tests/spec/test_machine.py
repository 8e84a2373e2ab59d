"""The facts of the machine the tests run on."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from steerctl.spec.machine import Machine


def test_facts_are_plausible(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    machine = Machine.here()
    assert 1 <= machine.cores <= (os.cpu_count() or 1)
    assert machine.gpus >= 0
    assert machine.wandb_login


def test_gpus_are_counted_without_torch(tmp_path) -> None:
    """With a stand-in for nvidia-smi, in a process that has not imported torch."""
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'GPU 0: H100 (UUID: x)'\necho 'GPU 1: H100 (UUID: y)'\n")
    tool.chmod(0o755)
    code = "from steerctl.spec.machine import _count_gpus; import sys; print(_count_gpus(), 'torch' in sys.modules)"
    answer = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stdout.split() == ["2", "False"]
