"""Weight folders on disk or in shared memory: what a server starts from and reloads.

Each is a whole model folder, so that a server that has to be restarted starts with the weights it had. The one before
is kept until the next is begun: it is what a server with old weights is recognised by (blame.py).
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from steerctl.engine.shards import ShardWriter
from steerctl.errors import StorageError
from steerctl.spec.experiment import PolicySpec

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 (a private folder is made in it)
SHARD_BYTES = 2**30
"""Weights rank 0 holds at most beside its own before they go to a file, one larger parameter aside."""
WEIGHT_FILES = (".safetensors", ".bin", ".pt", ".pth", ".gguf", ".h5", ".msgpack", ".onnx", ".index.json")


@dataclass(frozen=True, slots=True)
class Tie:
    """A head that is the embedding: the name the weights come under, and the head's own name."""

    embedding: str
    head: str


def find_tie(policy: PolicySpec, folder: Path) -> Tie | None:
    """The names of a tied head and of the embedding it is; None if the head has its own weight."""
    from transformers import AutoConfig, AutoModelForCausalLM  # noqa: PLC0415 (seconds of import)

    config = AutoConfig.from_pretrained(folder, trust_remote_code=policy.trust_remote_code)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, trust_remote_code=policy.trust_remote_code)
    head = model.get_output_embeddings()
    if head is None or head.weight is not model.get_input_embeddings().weight:
        return None
    names = [name for name, value in model.named_parameters(remove_duplicate=False) if value is head.weight]
    own = next(f"{name}.weight" for name, module in model.named_modules() if module is head)
    return Tie(embedding=next(name for name in names if name != own), head=own)


class WeightFolders:
    """The folders `weights-<version>` in a private `room` that `close` removes.

    tie: given, the head is written under its own name too and the folder's configuration says that it is not tied.

    Raises:
        StorageError: the folder cannot be made or written.
    """

    def __init__(self, where: str | None, model: Path, dtype: str, tie: Tie | None) -> None:
        self._model, self._dtype, self._tie = model, dtype, tie
        self.current: Path | None = None
        self.previous: Path | None = None
        shared = str(SHARED_MEMORY) if os.access(SHARED_MEMORY, os.W_OK) else None
        try:
            if where is not None:
                where = str(Path(where).resolve())
                Path(where).mkdir(parents=True, exist_ok=True)
            self.room = Path(tempfile.mkdtemp(prefix="steerctl-vllm-", dir=where or shared))
        except OSError as error:
            raise StorageError(f"rollout.generator.transport_dir: {error}") from error

    def begin(self, version: int) -> WeightWriter:
        """A new folder, to be filled; the older of the two there are is removed."""
        if self.previous is not None:
            shutil.rmtree(self.previous, ignore_errors=True)
            self.previous = None
        target = self.room / f"weights-{version}"
        if target == self.current:  # the same version again: after a restart from a checkpoint, in tests
            target = self.room / f"weights-{version}-again"
        shutil.rmtree(target, ignore_errors=True)
        try:
            target.mkdir()
            self._copy_companions(target)
        except OSError as error:
            raise StorageError(f"{target}: {error}") from error
        return WeightWriter(target, self._tie)

    def keep(self, folder: Path) -> None:
        """The servers now have this one."""
        self.previous, self.current = self.current, folder

    def close(self) -> None:
        """Remove everything; may be called twice."""
        shutil.rmtree(self.room, ignore_errors=True)

    def _copy_companions(self, target: Path) -> None:
        """Configuration, tokenizer and model code; everything of the model folder that is no weights."""
        for file in self._model.iterdir():
            if file.is_file() and not file.name.endswith(WEIGHT_FILES):
                shutil.copyfile(file, target / file.name)
        path = target / "config.json"
        config = json.loads(path.read_text(encoding="utf-8")) | {"dtype": self._dtype}
        if self._tie is not None:
            for part in (config, config.get("text_config") or {}):
                part["tie_word_embeddings"] = False
        path.write_text(json.dumps(config), encoding="utf-8")


class WeightWriter:
    """Takes parameters one at a time; nothing is served from the folder before `finish`."""

    def __init__(self, folder: Path, tie: Tie | None) -> None:
        self.folder, self._tie = folder, tie
        self._shards = ShardWriter(folder, "part", SHARD_BYTES)

    def add(self, name: str, value: Tensor) -> None:
        """Write one parameter, and the head with the embedding if it is tied."""
        try:
            self._shards.add(name, value)
            if self._tie is not None and name == self._tie.embedding:
                self._shards.add(self._tie.head, value)
        except OSError as error:
            raise StorageError(f"{self.folder}: {error}") from error

    def finish(self) -> Path:
        """The folder is complete."""
        try:
            self._shards.close_as_model()
        except OSError as error:
            raise StorageError(f"{self.folder}: {error}") from error
        return self.folder

    def abandon(self) -> None:
        """Remove it."""
        with suppress(OSError):
            shutil.rmtree(self.folder)
