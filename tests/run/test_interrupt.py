from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from steerctl.run import interrupt
from steerctl.run.interrupt import Abandoned, BrokenOff, Interrupts, breaking_off, exit_code
from tests.run.command import environment

BOTH = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])


@BOTH
def test_first_asks_second_abandons(number):
    notices = []
    before = signal.getsignal(number)
    with Interrupts(notices.append) as interrupts:
        assert not interrupts.requested
        os.kill(os.getpid(), number)
        assert interrupts.requested
        assert len(notices) == 1
        with pytest.raises(Abandoned):
            os.kill(os.getpid(), number)
    assert signal.getsignal(number) is before
    assert exit_code() == 128 + number


@BOTH
def test_between_steps_the_work_is_broken_off(number, monkeypatch):
    monkeypatch.setattr(interrupt, "_received", [])
    assert exit_code() == 130
    before = signal.getsignal(number)
    with pytest.raises(BrokenOff), breaking_off():
        os.kill(os.getpid(), number)
    assert signal.getsignal(number) is before
    assert exit_code() == 128 + number


@BOTH
@pytest.mark.parametrize(
    ("launched", "code", "said"), [(False, 128, "interrupted; nothing was written\n"), (True, None, "")]
)
def test_at_the_start_the_process_ends_at_once(number, launched, code, said):
    program = (
        "import os\nfrom steerctl.run.interrupt import at_start\n"
        "with at_start():\n"
        "    try:\n"
        f"        os.kill(os.getpid(), {int(number)})\n"
        "    except BaseException:\n"
        "        pass  # as an import may do\n"
        "print('went on')\n"
    )
    extra = {"STEERCTL_LAUNCHED": "1"} if launched else {}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment(**extra), capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr, done.stdout) == (-number if code is None else code + number, said, "")
