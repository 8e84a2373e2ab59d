"""The trials of `steerctl doctor`: ZeRO-3 for real; a real vLLM server is started by tests/engine/vllm alone."""

import json
import sys

import pytest

from steerctl.engine import probes
from steerctl.engine.probes import Trial, try_vllm, try_zero3, vllm, zero3


def trial(code: str, timeout: float = 60) -> Trial:
    return Trial([sys.executable, "-c", code], timeout)


@pytest.mark.engine
def test_zero3_and_vllm_work_here_side_by_side() -> None:
    training, importing = try_zero3(200), try_vllm(200)
    outcome = zero3(training)
    assert outcome.works, outcome.text
    assert outcome.text.startswith("one optimiser step on cpu, in ")
    imported = vllm(importing)
    assert imported.works, imported.text
    assert " on cpu, in " in imported.text


def test_a_broken_installation_is_told_in_its_own_words() -> None:
    outcome = zero3(trial("print('loading'); raise ImportError('libcudart.so.13: cannot open shared object file')"))
    assert not outcome.works
    assert outcome.text == "ImportError: libcudart.so.13: cannot open shared object file"
    assert vllm(trial("import os; os._exit(3)")).text == "ended with exit code 3"


def test_one_that_hangs_is_ended() -> None:
    hanging = trial("import time; time.sleep(100)", timeout=0.5)
    assert zero3(hanging).text == "no result within 0.5 s"
    assert hanging._process.returncode is not None


@pytest.mark.parametrize("moved", ["0.0", "NaN", "17.0"])
def test_a_step_that_does_not_train_is_no_success(moved: str) -> None:
    answer = json.dumps({"device": "cpu", "moved": 0.1}).replace("0.1", moved)
    outcome = zero3(trial(f"print({answer!r})"))
    assert not outcome.works
    assert "moved the weight by" in outcome.text


def test_a_vllm_that_sees_no_device_does_not_work() -> None:
    assert not vllm(trial("""print('{"version": "0.32.0", "device": ""}')""")).works


def test_where_libraries_say_what_went_wrong() -> None:
    assert probes.last_line("Traceback\n  File x\nValueError: no\n\n") == "ValueError: no"
    assert probes.last_line("") == ""
