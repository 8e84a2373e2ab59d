"""Writing the policy as a Hugging Face model folder that `AutoModelForCausalLM.from_pretrained` loads."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch

from steerctl.engine.models import resolve
from steerctl.engine.policy import DeepSpeedPolicy
from steerctl.engine.shards import ShardWriter
from steerctl.errors import StorageError

SHARD_BYTES = 5 * 10**9
"""Size of one weight file; the same limit as transformers' own."""


def export_model(
    policy: DeepSpeedPolicy,
    tokenizer: Any,  # noqa: ANN401 (a transformers tokenizer)
    folder: Path,
    *,
    dtype: torch.dtype | None = None,
    shard_bytes: int = SHARD_BYTES,
) -> None:
    """Write configuration, weights and tokenizer into the existing folder; collective, rank 0 writes.

    dtype: of the stored weights; None: the working type. A tied head is stored once, under the embedding's name.

    Raises:
        StorageError: on every rank, if rank 0 could not write.
    """
    dtype = dtype or getattr(torch, policy.policy_spec.dtype)
    writer = ShardWriter(folder, "part", shard_bytes) if policy.rank == 0 else None
    failure: str | None = None
    for name, value in policy.weights():
        if writer is None or failure is not None:
            continue
        try:
            writer.add(name, value.to(dtype) if value.is_floating_point() else value)
        except OSError as error:
            failure = str(error)
    if writer is not None and failure is None:
        try:
            writer.close_as_model()
            _write_companions(policy, tokenizer, folder, str(dtype).removeprefix("torch."))
        except OSError as error:
            failure = str(error)
    failures = [text for text in policy.all_gather(failure) if text is not None]
    if failures:
        raise StorageError(f"{folder}: the model could not be written: {failures[0]}")


def _write_companions(policy: DeepSpeedPolicy, tokenizer: Any, folder: Path, dtype: str) -> None:  # noqa: ANN401 (a transformers tokenizer)
    """config.json (with the stored type), generation_config.json and model code of the original, tokenizer files."""
    source = resolve(policy.policy_spec)
    policy.model.model.config.save_pretrained(folder)
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8")) | {"dtype": dtype}
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    tokenizer.save_pretrained(folder)
    # Copied as they are: saving a generation config anew can fail on settings the original was published with.
    for file in [source / "generation_config.json", *source.glob("*.py")]:
        if file.is_file():
            shutil.copyfile(file, folder / file.name)
