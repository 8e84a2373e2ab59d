"""Workers: one per core at most, replaced when they fail or are worn, gone when we are."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from steerctl.errors import EngineError
from steerctl.reward.sandbox import pool as pools
from steerctl.reward.sandbox import tiers, worker
from steerctl.reward.sandbox.check import Judgement
from steerctl.reward.sandbox.job import Limits
from steerctl.reward.sandbox.pool import Pool, cores
from steerctl.reward.sandbox.probe import _try
from steerctl.reward.sandbox.tests import read
from steerctl.types import Problem

PROBLEM = Problem("p", (), "", "s", {"tests": [{"kind": "call", "args": [2], "expected": 4}], "entry_point": "f"})
TESTS = read(PROBLEM, Limits(cpu_seconds=2, wall_seconds=10))
RIGHT = "def f(x): return x * x"


@pytest.fixture
def pool(strongest, python):
    opened = Pool(strongest, python, 1)
    yield opened
    opened.close()


def judge(pool, *codes):
    checks = [Judgement(TESTS, code) for code in codes]
    pool.run(checks)
    return [check.result for check in checks]


def test_no_more_workers_than_cores(strongest, python):
    opened = Pool(strongest, python, 10_000)
    assert opened.size == cores()
    assert opened.pids() == []
    judge(opened, RIGHT)
    assert len(opened.pids()) == 1
    opened.close()
    opened.close()
    assert opened.pids() == []


def test_answers_come_to_their_own_question(pool):
    codes = [f"def f(x): return {number}" for number in range(40)]
    assert [result.end == "passed" for result in judge(pool, *codes)] == [number == 4 for number in range(40)]


def test_a_killed_worker_is_replaced_and_its_job_tried_again(pool):
    judge(pool, RIGHT)
    (pid,) = pool.pids()
    os.kill(pid, signal.SIGKILL)
    time.sleep(0.1)
    assert judge(pool, RIGHT)[0].end == "passed"
    assert pool.pids() != [pid]
    assert pool.replaced == 1


def test_a_worker_that_dies_each_time_is_an_infra_error(pool, monkeypatch):
    judge(pool, RIGHT)
    given = worker.Worker.give

    def give_and_die(self, job):
        given(self, job)
        self.process.kill()

    monkeypatch.setattr(worker.Worker, "give", give_and_die)
    (result,) = judge(pool, "import time\ntime.sleep(5)")
    assert (result.end, result.why.startswith("the sandbox failed")) == ("infra_error", True)
    assert pool.replaced == pools.ATTEMPTS


def test_a_server_that_hangs_is_given_up(pool, monkeypatch):
    judge(pool, RIGHT)
    (pid,) = pool.pids()
    stopped = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    monkeypatch.setattr(worker, "LATE_SECONDS", -9.5)
    for each in stopped:
        each.suspend()
    monkeypatch.setattr(pools, "ATTEMPTS", 1)
    assert judge(pool, RIGHT)[0].end == "infra_error"


def test_a_worn_worker_is_replaced(pool, monkeypatch):
    monkeypatch.setattr(worker, "MAX_RUNS", 3)
    judge(pool, RIGHT)
    first = pool.pids()
    judge(pool, *(f"def f(x): return {number}" for number in range(4)))
    assert pool.pids() != first
    assert pool.replaced == 0


def test_a_worker_that_does_not_start_is_told(strongest, python, monkeypatch):
    monkeypatch.setattr(worker, "command", lambda tier, python: ["/bin/false"])
    with pytest.raises(EngineError, match="does not start"):
        judge(Pool(strongest, python, 1), RIGHT)


def test_nothing_outlives_us(strongest, tmp_path):
    """Killed without a chance to clean up, in the middle of a run: worker and program are gone at once."""
    script = f"""
import threading, sys
from steerctl.reward.sandbox.pool import Pool
from steerctl.reward.sandbox.tiers import interpreter
from tests.reward.sandbox.test_pool import TESTS
from steerctl.reward.sandbox.check import Judgement
pool = Pool({strongest!r}, interpreter(), 1)
threading.Timer(1.5, lambda: print(*pool.pids(), flush=True)).start()
pool.run([Judgement(TESTS, "import time\\ntime.sleep(60)")])
"""
    root = Path(tiers.__file__).resolve().parents[3]
    ours = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=root)
    pid = int(ours.stdout.readline())
    family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    assert len(family) >= 2
    ours.kill()
    ours.wait()
    _, alive = psutil.wait_procs(family, timeout=5)
    assert [each.pid for each in alive if each.status() != psutil.STATUS_ZOMBIE] == []


SEARCH = """
import ctypes
def f(x):
    wanted, found = bytes(reversed(b'DEDAER-TON-EB-OT-ELBAT')), 0
    for line in open('/proc/self/maps'):
        place, rights, *_, name = line.split()
        low, high = (int(each, 16) for each in place.split('-'))
        if rights[0] == 'r' and name not in ('[vvar]', '[vsyscall]', '[vvar_vclock]') and high - low < 1 << 28:
            found += ctypes.string_at(low, high - low).count(wanted)
    return ['copies', found]
"""


def test_a_later_program_finds_nothing_of_an_earlier_one(python):
    """The same worker, its memory searched from within: as many copies of a word as where nobody wrote it before."""
    if _try("bubblewrap", None):
        pytest.skip("only with bubblewrap may a program read its own /proc/self/maps")
    pool = Pool("bubblewrap", python, 1)
    fresh = judge(pool, SEARCH)[0].why
    assert fresh.startswith('call 1: returned ["copies",')
    judge(
        pool,
        "WORD = 'TABLE-TO-BE-NOT-READED'\ndef f(x): return WORD * 1000",
        "# TABLE-TO-BE-NOT-READED\ndef f(x): return 4",
    )
    assert judge(pool, SEARCH)[0].why == fresh
    pool.close()
