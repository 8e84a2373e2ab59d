"""Checkpoints that cannot be used say so; saving and loading themselves are in test_policy.py, with real ranks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from steerctl.engine.checkpoint import read_index
from steerctl.errors import RunFolderError


def write(folder: Path, **changes) -> None:
    index = {"format": 1, "updates": 3, "files": {"weight:a": "state-00001.safetensors"}} | changes
    (folder / "state.json").write_text(json.dumps(index))


def test_a_complete_folder_is_read(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "state-00001.safetensors").touch()
    assert read_index(tmp_path)["updates"] == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "state-00001.safetensors is missing"),
        ({"format": 9}, "checkpoint format 9, this version reads 1"),
        ({"updates": None}, "missing or damaged"),
        ({"files": ["x"]}, "missing or damaged"),
        ({"files": {"weight:a": "../elsewhere.safetensors"}}, "elsewhere.safetensors is missing"),
    ],
)
def test_unusable_folders(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    write(tmp_path, **changes)
    with pytest.raises(RunFolderError, match=message):
        read_index(tmp_path)


def test_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match=r"state.json is missing or damaged; remove this checkpoint"):
        read_index(tmp_path)
