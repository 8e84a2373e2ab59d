"""Who is to blame, in every order in which ranks can end; with real processes in test_launch.py."""

from __future__ import annotations

import pytest

from steerctl.engine.outcome import ENDED, RANK_LOST, Outcome, Verdict, judge

INT, TERM = 2, 15
BUG = ("Traceback (most recent call last):\n", "ValueError: no\n")


def verdict(*codes: int | None, said: tuple[str, ...] = (), received: tuple[int, ...] = ()) -> Verdict:
    """Rank 0 and the others; the lines are those of the last rank."""
    last = len(codes) - 1
    return judge([Outcome(rank, code, said if rank == last else ()) for rank, code in enumerate(codes)], received)


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        ((-9, None), Verdict(137, "rank 0 of 2 was killed (signal 9, often out of memory)", resumable=True)),
        ((-9, RANK_LOST), Verdict(137, "rank 0 of 2 was killed (signal 9, often out of memory)", resumable=True)),
        ((RANK_LOST, -9), Verdict(137, "rank 1 of 2 was killed (signal 9, often out of memory)", resumable=True)),
        ((-ENDED, -11), Verdict(139, "rank 1 of 2 was killed (signal 11)", resumable=True)),
        ((1, RANK_LOST), Verdict(1)),
        ((2, 2), Verdict(2)),
        ((2, -ENDED), Verdict(2)),
    ],
)
def test_a_killed_rank_is_named_and_rank_0_speaks_for_itself(codes: tuple[int, ...], expected: Verdict) -> None:
    assert verdict(*codes) == expected


def test_a_rank_that_aborted_has_said_why() -> None:
    text = "rank 1 of 2 was killed (signal 6): terminate called without an active exception"
    said = ("a warning\n", "terminate called without an active exception\n")
    assert verdict(RANK_LOST, -6, said=said) == Verdict(134, text, resumable=True)


@pytest.mark.parametrize("first", [RANK_LOST, None, -ENDED])
def test_another_ranks_line_is_shown_with_its_rank(first: int | None) -> None:
    assert verdict(first, 1, said=("no disk\n",)) == Verdict(1, "rank 1 of 2: no disk", resumable=True)
    assert verdict(first, 2, said=("no file\n",)) == Verdict(2, "rank 1 of 2: no file")
    text = "".join(BUG) + "rank 1 of 2 ended with exit code 1"
    assert verdict(first, 1, said=BUG) == Verdict(1, text, resumable=True)


def test_nobody_to_blame_is_still_a_line() -> None:
    said = ("another rank ended (x)\n",)
    assert verdict(RANK_LOST, RANK_LOST, said=said) == Verdict(1, "another rank ended (x)", resumable=True)
    assert verdict(RANK_LOST, RANK_LOST).text


@pytest.mark.parametrize(
    ("codes", "received", "expected"),
    [
        ((143, 143), (INT,), Verdict(130, resumable=True)),
        ((143, None), (TERM,), Verdict(143, resumable=True)),
        ((-TERM, -TERM), (INT,), Verdict(130, "interrupted", resumable=True)),
        ((None, 143), (TERM,), Verdict(143, "interrupted", resumable=True)),
        ((RANK_LOST, 143), (TERM,), Verdict(143, "interrupted", resumable=True)),
        ((-9, -9), (INT, INT), Verdict(130, "abandoned", resumable=True)),
        ((2, 2), (INT,), Verdict(2, resumable=True)),
    ],
)
def test_what_follows_from_the_users_signal_is_no_ranks_fault(
    codes: tuple[int | None, ...], received: tuple[int, ...], expected: Verdict
) -> None:
    assert verdict(*codes, received=received) == expected
