"""Decisions and tasks to verdicts, in order."""

from steerctl.reward.grading.batch import Asked, settle, storable
from steerctl.reward.grading.pool import Outcome, Task, WorkerPool
from steerctl.types import Verdict


class Scripted(WorkerPool):
    """Answers from a table; what it was asked is kept."""

    def __init__(self, outcomes):
        super().__init__(1, 1.0, 1.0)
        self.outcomes, self.asked = outcomes, []

    def run(self, tasks):
        self.asked += tasks
        return [self.outcomes[task.gold] for task in tasks]


YES, NO = Outcome(True, "ok", "parser"), Outcome(False, "ok", "parser")
LATE = Outcome(False, "timeout", "killed")


def test_in_order_each_task_once_any_right_one_decides():
    pool = Scripted({"yes": YES, "no": NO, "late": LATE})
    yes, no, late = (Task("box", gold, ("a",)) for gold in ("yes", "no", "late"))
    known = Verdict(1.0, "b", "integers")
    found = settle(
        pool, [Asked("a", (no,)), known, Asked("a", (no, yes)), Asked("a", (no, late)), Asked("a", (late, yes))]
    )
    assert [(one.value, one.status) for one in found] == [
        (0.0, "ok"),
        (1.0, "ok"),
        (1.0, "ok"),
        (0.0, "timeout"),
        (1.0, "ok"),
    ]
    assert pool.asked == [no, yes, late]
    assert found[1] is known


def test_nothing_to_ask():
    pool = Scripted({})
    assert settle(pool, [Verdict(0.0, None, "no box", "no_answer")])[0].status == "no_answer"
    assert pool.asked == []


def test_storable():
    assert storable("\ud800x") == "?x"
    assert storable("π") == "π"
