"""What was sampled in one step, as a table: a row per response, per-token arrays as list columns, parquet on disk."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from steerctl.errors import RunFolderError
from steerctl.store.atomic import writing
from steerctl.types import RolloutGroup, TokenBatch

if TYPE_CHECKING:
    from torch import Tensor

_IDS = pa.list_(pa.int32())
_SCHEMA: dict[str, Any] = {
    "problem_id": pa.string(), "sample": pa.int32(), "prompt": pa.string(), "gold": pa.string(),
    "prompt_ids": _IDS, "token_ids": _IDS, "text": pa.string(),
    "verdict": pa.float32(), "answer": pa.string(), "why": pa.string(), "status": pa.string(),
    "reward": pa.float32(), "advantage": pa.float32(),
    "finish": pa.string(), "seed": pa.uint64(), "weight_version": pa.int32(),
}  # fmt: skip
"""Columns beside `step` (first) and the per-token arrays (last, list<float32>)."""


@dataclass(frozen=True, slots=True)
class RolloutTable:
    """The responses of one step, one entry per response in every column (row = problem · G + sample).

    verdict    what the verifier said, 1.0 right
    advantage  the estimator's value; NaN where none was computed (validation)
    tokens     per-token arrays by name, each as long as the row's token_ids; empty where a token was not trained
    """

    problem_id: Sequence[str]
    sample: Sequence[int]
    prompt: Sequence[str]
    gold: Sequence[str]
    prompt_ids: Sequence[Sequence[int]]
    token_ids: Sequence[NDArray[np.int32]]
    text: Sequence[str]
    verdict: Sequence[float]
    answer: Sequence[str | None]
    why: Sequence[str]
    status: Sequence[str]
    reward: Sequence[float]
    advantage: Sequence[float]
    finish: Sequence[str]
    seed: Sequence[int]
    weight_version: Sequence[int]
    tokens: Mapping[str, Sequence[NDArray[np.float32]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """ValueError if columns, or a row's per-token arrays, disagree in length."""
        rows = len(self)
        for name, column in self._columns().items():
            if len(column) != rows:
                raise ValueError(f"column {name} has {len(column)} rows, not {rows}")
        for name, column in self.tokens.items():
            for index, (row, ids) in enumerate(zip(column, self.token_ids, strict=True)):
                if len(row) not in {0, len(ids)}:
                    raise ValueError(f"per-token column {name} does not fit token_ids in row {index}")

    def __len__(self) -> int:
        return len(self.problem_id)

    @classmethod
    def of(
        cls,
        groups: Sequence[RolloutGroup],
        advantages: Iterable[float] | None = None,
        tokens: Mapping[str, Sequence[NDArray[np.float32]]] | None = None,
    ) -> RolloutTable:
        """The table of a step's groups; `advantages` and each of `tokens` in row order (problem · G + sample).

        The column `rollout_logprobs` is always there: the sampler's own log-probabilities.
        """
        rows = [(group, index) for group in groups for index in range(len(group.rollouts))]
        rollouts = [group.rollouts[index] for group, index in rows]
        verdicts = [group.verdicts[index] for group, index in rows]
        return cls(
            problem_id=[group.problem.id for group, _ in rows],
            sample=[index for _, index in rows],
            prompt=["\n".join(message.content for message in group.problem.prompt) for group, _ in rows],
            gold=[group.problem.gold for group, _ in rows],
            prompt_ids=[group.prompt_ids for group, _ in rows],
            token_ids=[rollout.token_ids_T for rollout in rollouts],
            text=[rollout.text for rollout in rollouts],
            verdict=[verdict.value for verdict in verdicts],
            answer=[verdict.answer for verdict in verdicts],
            why=[verdict.why for verdict in verdicts],
            status=[verdict.status for verdict in verdicts],
            reward=[group.rewards_G[index] for group, index in rows],
            advantage=[float(value) for value in advantages] if advantages is not None else [float("nan")] * len(rows),
            finish=[rollout.finish for rollout in rollouts],
            seed=[rollout.seed for rollout in rollouts],
            weight_version=[rollout.weight_version for rollout in rollouts],
            tokens={"rollout_logprobs": [rollout.logprobs_T for rollout in rollouts], **(tokens or {})},
        )

    def _columns(self) -> dict[str, Sequence[Any]]:
        return {item.name: getattr(self, item.name) for item in fields(self) if item.name != "tokens"} | dict(
            self.tokens
        )


def token_rows(pairs: Iterable[tuple[TokenBatch, Tensor]], rows: int) -> list[NDArray[np.float32]]:
    """Values at the trained tokens of every sequence of the step, by row; empty for rows that no batch holds.

    pairs  micro-batches with a [B, T] tensor each; with several ranks, gather the result and merge with `filled`
    """
    found: list[NDArray[np.float32]] = [np.zeros(0, np.float32)] * rows
    for batch, values_BT in pairs:
        mask_BT = batch.loss_mask_BT.cpu().numpy()
        values = values_BT.detach().float().cpu().numpy()
        for index, row in enumerate(batch.row_B.tolist()):
            if row >= 0:
                found[row] = values[index][mask_BT[index]]
    return found


def filled(parts: Sequence[Sequence[NDArray[np.float32]]]) -> list[NDArray[np.float32]]:
    """The rows of several ranks as one list: each row from the rank that has it."""
    return [max(candidates, key=len) for candidates in zip(*parts, strict=True)]


def to_arrow(table: RolloutTable) -> Any:  # noqa: ANN401 (pyarrow has no types)
    """The table as an arrow table: the columns of `_SCHEMA`, then the per-token arrays."""
    columns: dict[str, Any] = {}
    for name, kind in _SCHEMA.items():
        values = getattr(table, name)
        if kind == _IDS:
            columns[name] = _lists(values, np.int32)
        else:
            columns[name] = pa.array([_clean(value) for value in values], kind)
    for name, rows in table.tokens.items():
        columns[name] = _lists(rows, np.float32)
    return pa.table(columns)


def write_rollouts(path: Path, step: int, table: RolloutTable) -> None:
    """Write the table, zstd-compressed, atomically."""
    columns = to_arrow(table)
    columns = columns.add_column(0, "step", pa.array([step] * len(table), pa.int32()))
    with writing(path) as temporary:
        pq.write_table(columns, temporary, compression="zstd")


def read_rollouts(path: Path) -> RolloutTable:
    """The table as it was written.

    Raises:
        RunFolderError: the file is missing, or is not such a table.
    """
    try:
        table = pq.read_table(path)
        columns = {name: table.column(name).to_pylist() for name in _SCHEMA if name != "token_ids"}
        ids = unlist(table.column("token_ids"))
        tokens = {name: unlist(table.column(name)) for name in table.column_names if name not in {"step", *_SCHEMA}}
    except (OSError, pa.ArrowInvalid, KeyError) as error:
        raise RunFolderError(f"{path}: not a table of rollouts ({error})") from error
    return RolloutTable(token_ids=ids, tokens=tokens, **columns)


def _lists(rows: Sequence[Any], dtype: type[np.generic]) -> Any:  # noqa: ANN401 (pyarrow has no types)
    offsets = np.zeros(len(rows) + 1, np.int32)
    np.cumsum([len(row) for row in rows], out=offsets[1:])
    flat = np.concatenate([np.asarray(row, dtype) for row in rows]) if rows else np.zeros(0, dtype)
    return pa.ListArray.from_arrays(offsets, flat)


def unlist(column: Any) -> list[Any]:  # noqa: ANN401 (pyarrow has no types)
    """The rows of a list column as arrays."""
    return [row.values.to_numpy() for row in column]


def _clean(value: object) -> object:
    """Text with half a surrogate pair cannot be UTF-8; NaN stays NaN."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
