"""Workers are killed, replaced and reaped; every task gets its own outcome."""

import os
import signal
import sys
import threading
import time

import psutil
import pytest

from steerctl.errors import EngineError
from steerctl.reward.grading import pool as pool_module
from steerctl.reward.grading.pool import Task, WorkerPool

SLOW = "{" * 2000 + "}" * 2000  # reading it takes math-verify over 25 seconds


@pytest.fixture
def pool():
    made = WorkerPool(size=2, seconds=6.0, memory_gib=2.0)
    yield made
    made.close()


def box(gold, *answers):
    return Task("box", gold, answers)


def test_outcomes_come_back_in_order(pool):
    tasks = [box(str(number), f"\\frac{{{2 * number + number % 3 % 2}}}{{2}}") for number in range(40)]
    outcomes = pool.run(tasks)
    assert [outcome.right for outcome in outcomes] == [number % 3 != 1 for number in range(40)]
    assert {outcome.status for outcome in outcomes} == {"ok"}
    assert pool.replaced == 0


def test_a_task_over_the_limit_costs_its_own_worker_and_nobody_elses_verdict():
    pool = WorkerPool(size=2, seconds=1.0, memory_gib=2.0)
    tasks = [box("3", "\\frac{6}{2}"), box("2", SLOW), *[box(str(n), f"\\frac{{{2 * n}}}{{2}}") for n in range(20)]]
    outcomes = pool.run(tasks)
    assert outcomes[1].status == "timeout"
    assert outcomes[1].why == "killed after 1 s"
    assert all(outcome.right for index, outcome in enumerate(outcomes) if index != 1)
    assert pool.replaced == 1
    assert all(outcome.right for outcome in pool.run(tasks[2:]))
    pool.close()


def test_a_worker_killed_from_outside_costs_one_error(pool):
    pool.run([box("3", "\\frac{6}{2}")])
    (victim,) = pool.pids()
    threading.Timer(0.5, os.kill, (victim, signal.SIGKILL)).start()
    outcomes = pool.run([box("2", SLOW), *[box(str(n), f"\\frac{{{2 * n}}}{{2}}") for n in range(10)]])
    assert outcomes[0].status == "error"
    assert outcomes[0].why == "worker ended (-9)"
    assert all(outcome.right for outcome in outcomes[1:])


def test_a_worker_killed_while_idle_costs_nothing(pool):
    pool.run([box("3", "\\frac{6}{2}")])
    (victim,) = pool.pids()
    os.kill(victim, signal.SIGKILL)
    time.sleep(0.1)
    assert pool.run([box("4", "\\frac{8}{2}")])[0].right
    assert pool.replaced == 1


def test_a_reference_answer_that_cannot_be_read_is_an_error_of_its_own(pool):
    (outcome,) = pool.run([box(SLOW, "\\frac{4}{2}")])
    assert outcome.status == "error"
    assert outcome.why == "reference answer: reading took over 2 s"


def test_memory_is_bounded():
    pool = WorkerPool(size=1, seconds=20.0, memory_gib=0.6)
    outcome, after = pool.run([box("2", "1e999999999"), box("2", "\\frac{4}{2}")])
    assert not outcome.right
    assert after.right
    for pid in pool.pids():
        assert psutil.Process(pid).memory_info().rss < 0.6 * 2**30
    pool.close()


def test_nothing_is_left_after_close(pool):
    pool.run([box("3", "\\frac{6}{2}"), box("4", "\\frac{8}{2}")])
    pids = pool.pids()
    assert pids
    pool.close()
    pool.close()
    assert not any(psutil.pid_exists(pid) for pid in pids)
    assert pool.run([box("3", "\\frac{6}{2}")])[0].right  # it may be used again


def test_an_interrupt_leaves_no_worker_that_would_answer_the_next_batch(pool):
    pool.run([box("3", "\\frac{6}{2}")])

    def interrupt(*_):
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGUSR1, interrupt)
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGUSR1)).start()
    with pytest.raises(KeyboardInterrupt):
        pool.run([box("2", SLOW)])
    signal.signal(signal.SIGUSR1, previous)
    assert pool.pids() == []
    assert pool.run([box("4", "\\frac{8}{2}")])[0].right


def test_a_worker_ends_when_its_parent_is_gone():
    code = (
        "import os, signal\n"
        "from steerctl.reward.grading.pool import Task, WorkerPool\n"
        "pool = WorkerPool(1, 6.0, 2.0)\n"
        "pool.run([Task('box', '3', ('\\\\frac{6}{2}',))])\n"
        "print(pool.pids()[0], flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    with psutil.Popen([sys.executable, "-c", code], stdout=-1, text=True) as parent:
        worker = int(parent.stdout.readline())
        parent.wait(timeout=30)
    deadline = time.monotonic() + 10
    while psutil.pid_exists(worker) and psutil.Process(worker).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, "the worker outlived its parent"
        time.sleep(0.05)


def test_a_worker_that_cannot_start_is_an_engine_error(monkeypatch):
    monkeypatch.setattr(pool_module.sys, "executable", "/bin/false")
    pool = WorkerPool(size=2, seconds=6.0, memory_gib=2.0)
    with pytest.raises(EngineError, match="grading process did not start"):
        pool.run([box("3", "4")])
    assert pool.pids() == []
