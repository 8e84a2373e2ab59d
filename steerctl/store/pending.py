"""Groups that wait for their step, inside a checkpoint: bit for bit what was sampled, no pickle.

groups.json         per group: problem id, rewards, verdicts; per response: text, finish, seed, version, given ids
tokens.safetensors  token_ids int32 and logprobs float32 of all responses end to end, lengths int64
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from steerctl.errors import RunFolderError
from steerctl.store.atomic import storage_errors
from steerctl.types import Problem, Rollout, RolloutGroup, Verdict

GROUPS, TOKENS = "groups.json", "tokens.safetensors"

Find = Callable[[str], tuple[Problem, tuple[int, ...]]]
"""Problem id -> the problem and its prompt's tokens; KeyError if there is none."""


def write_groups(folder: Path, groups: Sequence[RolloutGroup]) -> None:
    """Fill `folder`, which is made. Not atomic: the checkpoint around it is.

    Raises:
        StorageError: the disk is full or read-only.
    """
    rollouts = [rollout for group in groups for rollout in group.rollouts]
    tokens = {
        "token_ids": _joined([rollout.token_ids_T for rollout in rollouts], np.int32),
        "logprobs": _joined([rollout.logprobs_T for rollout in rollouts], np.float32),
        "lengths": np.array([len(rollout.token_ids_T) for rollout in rollouts], np.int64),
    }
    with storage_errors(folder):
        folder.mkdir()
        save_file(tokens, folder / TOKENS)
        (folder / GROUPS).write_text(json.dumps([_plain(group) for group in groups]), encoding="utf-8")


def read_groups(folder: Path, find: Find) -> tuple[RolloutGroup, ...]:
    """What `write_groups` was given.

    Raises:
        RunFolderError: a file is missing or damaged, or a problem is not in the data any more.
    """
    try:
        tokens = load_file(folder / TOKENS)
        plain = json.loads((folder / GROUPS).read_text(encoding="utf-8"))
        ends = np.cumsum(tokens["lengths"])[:-1]
        ids, logprobs = np.split(tokens["token_ids"], ends), np.split(tokens["logprobs"], ends)
        arrays = zip(ids, logprobs, strict=True)
        return tuple(_group(entry, arrays, find) for entry in plain)
    except (OSError, SafetensorError, ValueError, KeyError, TypeError, StopIteration) as error:
        raise RunFolderError(f"{folder}: the rollouts that wait for the next step cannot be read: {error}") from error


def _plain(group: RolloutGroup) -> dict[str, Any]:
    return {
        "problem": group.problem.id,
        "rewards": list(group.rewards_G),
        "verdicts": [asdict(verdict) for verdict in group.verdicts],
        "rollouts": [
            {
                "text": rollout.text,
                "finish": rollout.finish,
                "seed": rollout.seed,
                "weight_version": rollout.weight_version,
                "given_ids": list(rollout.given_ids),
            }
            for rollout in group.rollouts
        ],
    }


def _group(plain: dict[str, Any], arrays: Iterator[tuple[Any, Any]], find: Find) -> RolloutGroup:
    problem, prompt_ids = find(plain["problem"])
    rollouts = []
    for entry in plain["rollouts"]:
        token_ids_T, logprobs_T = next(arrays)
        given = tuple(entry.pop("given_ids"))
        rollouts.append(Rollout(token_ids_T=token_ids_T, logprobs_T=logprobs_T, given_ids=given, **entry))
    verdicts = tuple(Verdict(**verdict) for verdict in plain["verdicts"])
    return RolloutGroup(problem, prompt_ids, tuple(rollouts), verdicts, tuple(plain["rewards"]))


def _joined(rows: Sequence[Any], dtype: type[np.generic]) -> Any:  # noqa: ANN401 (an array)
    return np.concatenate([np.asarray(row, dtype) for row in rows]) if rows else np.zeros(0, dtype)
