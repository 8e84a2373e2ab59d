from __future__ import annotations

import json
from dataclasses import asdict, replace

import numpy as np
import pytest

from steerctl.errors import RunFolderError
from steerctl.store.pending import GROUPS, TOKENS, read_groups, write_groups
from steerctl.types import Message, Problem, Rollout, RolloutGroup, Verdict

PROBLEM = Problem("p/1", (Message("user", "1?"),), "1", "test", {"level": 2})


def group() -> RolloutGroup:
    """Numbers that float32 or decimal text would spoil, an odd text, an empty response beside a long one."""
    ids = np.array([3, 2**31 - 1, 0], np.int32)
    logprobs = np.array([-1e-38, -0.1, -np.float32(1) / 3], np.float32)
    first = Rollout(ids, logprobs, "half a pair \ud800 \n", "length", 2**63 + 5, 7, (4, 2))
    second = Rollout(ids[:0], logprobs[:0], "", "stop", 1, 7)
    verdicts = (Verdict(0.1, None, "why", "no_answer"), Verdict(1.0, "1", ""))
    return RolloutGroup(PROBLEM, (5, 6), (first, second), verdicts, (0.1 + 0.2, -1.0))


def find(name: str):
    return {"p/1": (PROBLEM, (5, 6))}[name]


def test_what_was_written_comes_back_bit_for_bit(tmp_path):
    groups = (group(), replace(group(), rewards_G=(1e-300, 2.0)))
    write_groups(tmp_path / "pending", groups)
    found = read_groups(tmp_path / "pending", find)
    assert len(found) == 2
    for one, two in zip(groups, found, strict=True):
        assert (one.problem, one.prompt_ids, one.verdicts, one.rewards_G) == (
            two.problem,
            two.prompt_ids,
            two.verdicts,
            two.rewards_G,
        )
        for a, b in zip(one.rollouts, two.rollouts, strict=True):
            assert a.token_ids_T.tobytes() == b.token_ids_T.tobytes()
            assert a.logprobs_T.tobytes() == b.logprobs_T.tobytes()
            assert b.token_ids_T.dtype == np.int32
            assert asdict(replace(a, token_ids_T=None, logprobs_T=None)) == asdict(
                replace(b, token_ids_T=None, logprobs_T=None)
            )


def test_no_groups(tmp_path):
    write_groups(tmp_path / "pending", ())
    assert read_groups(tmp_path / "pending", find) == ()


@pytest.mark.parametrize("damage", ["missing", "short", "text", "problem"])
def test_damage_is_one_line_with_the_folder(tmp_path, damage):
    folder = tmp_path / "pending"
    write_groups(folder, (group(),))
    if damage == "missing":
        (folder / TOKENS).unlink()
    elif damage == "short":
        (folder / TOKENS).write_bytes((folder / TOKENS).read_bytes()[:-4])
    elif damage == "text":
        (folder / GROUPS).write_text("[{")
    else:
        plain = json.loads((folder / GROUPS).read_text())
        plain[0]["problem"] = "another"
        (folder / GROUPS).write_text(json.dumps(plain))
    with pytest.raises(RunFolderError, match="pending: the rollouts that wait for the next step cannot be read"):
        read_groups(folder, find)
