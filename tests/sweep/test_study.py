"""The board of jobs against a real study: claimed once, taken over, tried again, refused."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys

import pytest
from optuna.trial import TrialState

from steerctl.errors import SpecError, StorageError
from steerctl.sweep.jobs import Job
from steerctl.sweep.place import SweepFolder
from steerctl.sweep.study import Board
from tests.run.command import environment

JOBS = [Job(f"job-{number}", "same") for number in range(8)]


@pytest.fixture
def folder(tmp_path):
    folder = SweepFolder(tmp_path)
    folder.prepare()
    return folder


def board(folder, retries=1, stale=1000.0):
    return Board("s", None, folder, direction="maximize", retries=retries, stale=stale)


def states(board, jobs=JOBS):
    return [standing.state for standing in board.standings(jobs).values()]


def claim_all(path, results):
    folder = SweepFolder(path)
    own, badge = board(folder), folder.badge()
    own.bring_up_to_date(JOBS)
    while (claim := own.claim(JOBS, badge.owner)) is not None:
        results.put(claim.job)
        own.finish(claim, 1.0, {})


def test_four_workers_that_start_together_do_every_job_once(folder, tmp_path):
    """The study itself does not exist yet when they start."""
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    workers = [context.Process(target=claim_all, args=(tmp_path, results)) for _ in range(4)]
    for worker in workers:
        worker.start()
    done = sorted(results.get(timeout=60) for _ in JOBS)
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0] * 4
    assert done == [job.id for job in JOBS]
    assert states(board(folder)) == ["finished"] * len(JOBS)


def test_of_two_trials_of_one_attempt_only_the_first_counts(folder):
    """What two machines leave behind that found the study empty at the same moment."""
    one = board(folder)
    one.bring_up_to_date(JOBS[:1])
    like = one._trials()[0]
    one._storage.create_new_trial(one._id, template_trial=like)
    first, second = one.claim(JOBS, "a"), one.claim(JOBS, "b")
    assert first is not None
    assert second is None
    assert [trial.state for trial in one._trials()] == [TrialState.RUNNING, TrialState.FAIL]
    assert one.standings(JOBS[:1])["job-0"].attempts == 1


def test_a_worker_that_was_killed_is_seen_at_once_by_its_lock(folder, tmp_path):
    script = f"""
import os, signal
from pathlib import Path
from steerctl.sweep.place import SweepFolder
from tests.sweep.test_study import JOBS, board
folder = SweepFolder(Path({str(tmp_path)!r}))
one = board(folder); badge = folder.badge(); one.bring_up_to_date(JOBS[:1])
claim = one.claim(JOBS, badge.owner); one.beat(claim, {{"cells": {{}}}})
os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", script], env=environment(), check=False)
    other = board(folder)
    assert states(other, JOBS[:1]) == ["running"]
    other.bring_up_to_date(JOBS[:1])
    claim = other.claim(JOBS, "x")
    assert claim is not None
    assert (claim.job, claim.kills) == ("job-0", 0), "a lost worker is not the cell's fault"
    assert other._trials()[0].user_attrs["ending"] == "lost"


def test_a_worker_elsewhere_is_gone_when_its_heartbeat_stops(folder):
    one, other = board(folder), board(folder, stale=0.0)
    one.bring_up_to_date(JOBS[:1])
    claim = one.claim(JOBS, "another-machine/1-abc")
    other.bring_up_to_date(JOBS[:1])
    one.beat(claim, {})
    other.bring_up_to_date(JOBS[:1])
    assert states(other, JOBS[:1]) == ["running"], "it has said something since we last looked"
    other.bring_up_to_date(JOBS[:1])
    assert states(other, JOBS[:1]) == ["waiting"]
    assert one.beat(claim, {}) is False, "and is told so if it lives after all"
    one.finish(claim, 1.0, {})
    assert states(other, JOBS[:1]) == ["waiting"], "what it says then no longer counts"


def test_what_the_machine_killed_is_tried_again_up_to_the_bound(folder):
    one = board(folder, retries=1)
    one.bring_up_to_date(JOBS[:1])
    for expected in ("waiting", "failed"):
        one.killed(one.claim(JOBS, "a"), "killed by signal 9 (SIGKILL)")
        one.bring_up_to_date(JOBS[:1])
        assert states(one, JOBS[:1]) == [expected]
    assert one.standings(JOBS[:1])["job-0"].reason == "killed by signal 9 (SIGKILL)"
    one.bring_up_to_date(JOBS[:1], retry_failed=True)
    assert one.claim(JOBS, "a").kills == 0


def test_what_failed_by_itself_waits_to_be_asked_for(folder):
    one = board(folder)
    one.bring_up_to_date(JOBS[:2])
    one.fail(one.claim(JOBS, "a"), "NaN")
    one.give_back(one.claim(JOBS, "a"))
    one.bring_up_to_date(JOBS[:2])
    assert states(one, JOBS[:2]) == ["failed", "waiting"]
    one.bring_up_to_date(JOBS[:2], retry_failed=True)
    assert states(one, JOBS[:2]) == ["waiting", "waiting"]
    assert len(one._trials()) == 3


def test_jobs_may_be_added_and_begun_ones_may_not_change(folder):
    one = board(folder)
    one.bring_up_to_date(JOBS[:2])
    one.bring_up_to_date([Job("job-0", "edited before it began"), JOBS[1]])
    one.finish(one.claim(JOBS, "a"), 1.0, {})
    one.bring_up_to_date([Job("job-0", "edited before it began"), *JOBS[1:4]])
    assert states(one, JOBS[:4]) == ["finished", "waiting", "waiting", "waiting"]
    with pytest.raises(SpecError, match="job-0 has begun with other settings"):
        one.bring_up_to_date(JOBS[:1])


def test_a_storage_that_is_not_there(folder):
    with pytest.raises((SpecError, StorageError), match="storage"):
        Board("s", "nosuch://x", folder, direction="maximize", retries=0, stale=1.0)
