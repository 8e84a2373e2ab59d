"""The token table: columns of columns.py as an Arrow table, one row per probed token and update."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from steerctl.analysis.columns import COLUMNS, TRAINED
from steerctl.types import RolloutGroup

KEYS = ("update", "row", "position")
"""What a token is known by, beside its step; `row` is problem · G + sample and does not appear in the table."""
_ARROW = {"int32": pa.int32(), "bool": pa.bool_(), "string": pa.string(), "float64": pa.float64()}

Columns = Mapping[str, NDArray[Any]]


def joined(parts: Sequence[Columns]) -> dict[str, NDArray[Any]]:
    """The tokens of several updates, ranks or micro-batches as one, in the order of update, row and position.

    Parts without tokens are passed over; what only some of the others have is NaN elsewhere.
    """
    filled = [part for part in parts if len(part["row"])]
    names = dict.fromkeys(name for part in filled for name in part)
    whole = {name: np.concatenate([_or_nan(part, name) for part in filled]) for name in names}
    if not whole:
        return {name: np.zeros(0) for name in (parts[0] if parts else ())}
    order = np.lexsort([whole[key] for key in reversed(KEYS)])
    return {name: values[order] for name, values in whole.items()}


def token_table(tokens: Columns, step: int, groups: Sequence[RolloutGroup], decode: Callable[[int], str]) -> Any:  # noqa: ANN401 (pyarrow has no types)
    """The Arrow table of one step's probed tokens, every column of COLUMNS in its order.

    tokens  the numeric columns and KEYS, [N] each; an optional column that is missing, or NaN, is null; `interference`
            and `remainder` follow from others, and without `optimiser` every update is as it was
    step    sample-and-train iteration, from 1
    groups  of the step, all ranks'
    decode  a token's text, by its id

    Raises:
        ValueError: a column that is not optional is missing.
    """
    size = len(groups[0].rollouts) if groups else 1
    rows = [divmod(row, size) for row in tokens["row"].tolist()]
    rollouts = [groups[problem].rollouts[sample] for problem, sample in rows]
    ids = [int(each.token_ids_T[place]) for each, place in zip(rollouts, tokens["position"].tolist(), strict=True)]
    texts = {token: _clean(decode(token)) for token in dict.fromkeys(ids)}
    named: dict[str, Sequence[Any]] = {
        "step": [step] * len(rows),
        "problem_id": [groups[problem].problem.id for problem, _ in rows],
        "sample": [sample for _, sample in rows],
        "length": [len(each.token_ids_T) for each in rollouts],
        "token_id": ids,
        "text": [texts[token] for token in ids],
    }
    known = {"optimiser": [TRAINED] * len(rows), **tokens, **_differences(tokens), **named}
    return pa.table({name: _column(name, known.get(name), len(rows)) for name in COLUMNS})


def arrays(*tables: Any) -> dict[str, NDArray[Any]]:  # noqa: ANN401 (pyarrow has no types)
    """Token tables as one, column by column as arrays; what is null in an optional column is NaN."""
    whole = pa.concat_tables(tables)
    return {name: whole.column(name).to_numpy() for name in COLUMNS}


def _differences(tokens: Columns) -> Columns:
    """Those columns that are what others leave."""
    found = {}
    if "first_order" in tokens:
        found["remainder"] = tokens["measured"] - tokens["first_order"]
        if "own_state" in tokens:
            found["interference"] = tokens["first_order"] - tokens["own_state"]
    return found


def _column(name: str, values: Any, count: int) -> Any:  # noqa: ANN401 (pyarrow has no types)
    column = COLUMNS[name]
    if values is None:
        if not column.optional:
            raise ValueError(f"the token table has no column {name}")
        return pa.nulls(count, _ARROW[column.kind])
    return pa.array(values, _ARROW[column.kind], from_pandas=column.optional)


def _or_nan(part: Columns, name: str) -> NDArray[Any]:
    return part[name] if name in part else np.full(len(part["row"]), np.nan)


def _clean(text: str) -> str:
    """Half a character, as byte tokenizers have them, cannot be UTF-8."""
    return text.encode("utf-8", "replace").decode()
