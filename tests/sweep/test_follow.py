"""A growing metrics.jsonl."""

from __future__ import annotations

import math

from steerctl.sweep.follow import Follower


def test_whole_lines_once_and_from_the_start_when_the_run_went_back(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n')
    follower = Follower(tmp_path)
    assert follower.news() == [], "what was there before is not news"
    with path.open("a") as file:
        file.write('{"step": 2, "a": null, "time/step/seconds": 1.5}\n{"step": 3, "a"')
    (line,) = follower.news()
    assert line["step"] == 2
    assert math.isnan(line["a"])
    with path.open("a") as file:
        file.write(": 0.5}\n")
    assert [line["a"] for line in follower.news()] == [0.5]
    assert (follower.step, follower.seconds) == (3, 1.5)
    path.write_text('{"step": 1}\n')
    assert [line["step"] for line in follower.news()] == [1]


def test_no_file_yet(tmp_path):
    follower = Follower(tmp_path)
    assert follower.news() == []
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n')
    assert [line["step"] for line in follower.news()] == [1]
