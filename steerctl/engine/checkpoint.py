"""Saving and loading training state: safetensors and JSON, no pickle, independent of ranks and ZeRO stage.

    state.json                 format, updates, model dtype, the parameters' shapes, which file holds which tensor
    state-00001.safetensors    float32 tensors `weight:<name>`, `exp_avg:<name>`, `exp_avg_sq:<name>`; also
                               `reference:<name>` once the reference is no longer the model as loaded

The caller gives a temporary folder and renames it: a folder that has its final name is complete. Nothing else needs
saving: the learning rate is a function of `updates`, and training draws no random numbers.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from steerctl.engine.master import MOMENTS, MasterState
from steerctl.engine.policy import DeepSpeedPolicy
from steerctl.engine.reference import reference_weights, set_reference_weight
from steerctl.engine.shards import ShardWriter
from steerctl.errors import RunFolderError, StorageError

FORMAT = 1
INDEX = "state.json"
SHARD_BYTES = 2 * 2**30
_OLDER = "remove this checkpoint, and resuming takes the one before"


def save_state(policy: DeepSpeedPolicy, folder: Path) -> None:
    """Write the state of `policy` into the existing folder; collective, rank 0 writes, one tensor in memory at a time.

    Raises:
        StorageError: on every rank, if rank 0 could not write.
    """
    state = MasterState(policy)
    writer = ShardWriter(folder, "state", SHARD_BYTES) if policy.rank == 0 else None
    failure: str | None = None
    for name in state.parameters:
        for kind in (None, *MOMENTS):
            value = state.read(name, kind)
            if writer is None or failure is not None:
                continue
            try:
                writer.add(f"{kind or 'weight'}:{name}", value)
            except OSError as error:
                failure = str(error)
    for name, value in reference_weights(policy) if policy.reference_renewed else ():
        if writer is None or failure is not None:
            continue
        try:
            writer.add(f"reference:{name}", value.float())
        except OSError as error:
            failure = str(error)
    if writer is not None and failure is None:
        failure = _finish(writer, folder, policy)
    failures = [text for text in policy.all_gather(failure) if text is not None]
    if failures:
        raise StorageError(f"{folder}: the checkpoint could not be written: {failures[0]}")


def load_state(policy: DeepSpeedPolicy, folder: Path) -> None:
    """Set `policy` to the state in `folder`, whatever number of ranks and ZeRO stage wrote it; collective.

    The next update is bit-identical to the one that would have followed the save (on a CPU, at equal ranks and stage).

    Raises:
        RunFolderError: the folder is incomplete, of another format, or belongs to another model.
    """
    index = read_index(folder)
    state = MasterState(policy)
    where: dict[str, str] = index["files"]
    missing = sorted(set(state.parameters) - {key.partition(":")[2] for key in where})
    surplus = sorted({key.partition(":")[2] for key in where} - set(state.parameters))
    if missing or surplus:
        example = (missing or surplus)[0]
        raise RunFolderError(f"{folder}: the checkpoint is of another model (parameter {example} does not match)")
    for name, parameter in state.parameters.items():
        shape = tuple(getattr(parameter, "ds_shape", parameter.shape))
        for kind in (None, *MOMENTS):
            value = _read(folder, where, f"{kind or 'weight'}:{name}")
            if tuple(value.shape) != shape:
                raise RunFolderError(f"{folder}: {name} has the shape {tuple(value.shape)}, the model's is {shape}")
            state.write(name, value, kind)
    policy.reference_renewed = policy.reference is not None and any(key.startswith("reference:") for key in where)
    for name in state.parameters if policy.reference_renewed else ():
        set_reference_weight(policy, name, _read(folder, where, f"reference:{name}"))
    state.set_updates(int(index["updates"]))
    policy.updates = int(index["updates"])


def read_index(folder: Path) -> dict[str, Any]:
    """The parsed state.json of a checkpoint, its files checked for presence.

    Raises:
        RunFolderError: it is missing, unreadable, of a newer format, or a file it names is missing.
    """
    try:
        index: dict[str, Any] = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        files = {str(file) for file in index["files"].values()}
        written, _ = int(index["format"]), int(index["updates"])
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise RunFolderError(f"{folder}: {INDEX} is missing or damaged; {_OLDER}") from error
    if written != FORMAT:
        raise RunFolderError(f"{folder}: checkpoint format {written}, this version reads {FORMAT}")
    absent = sorted(file for file in files if Path(file).name != file or not (folder / file).is_file())
    if absent:
        raise RunFolderError(f"{folder}: {absent[0]} is missing; {_OLDER}")
    return index


def _finish(writer: ShardWriter, folder: Path, policy: DeepSpeedPolicy) -> str | None:
    try:
        index = {
            "format": FORMAT,
            "updates": policy.updates,
            "dtype": policy.policy_spec.dtype,
            "ranks": policy.world_size,
            "zero_stage": policy.stage,
            "files": writer.close(),
        }
        (folder / INDEX).write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        return str(error)
    return None


def _read(folder: Path, where: dict[str, str], key: str) -> Tensor:
    try:
        with safe_open(folder / where[key], framework="pt") as file:
            value: Tensor = file.get_tensor(key)
    except Exception as error:  # safetensors raises its own, undocumented, class for a damaged file
        raise RunFolderError(f"{folder}: {key} cannot be read ({error}); {_OLDER}") from error
    if value.dtype != torch.float32:
        raise RunFolderError(f"{folder}: {key} is {value.dtype}, not float32; {_OLDER}")
    return value
