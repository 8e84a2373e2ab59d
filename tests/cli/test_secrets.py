"""A run leaves no secret behind: keys in the environment reach neither the run folder, nor the screen, nor a log."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.run.command import train, write_spec

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]

MARK = "mark3r-0f-a-s3cret"
NAMES = (
    "WANDB_API_KEY",
    "HF_TOKEN",
    "HUGGING_FACE_HUB_TOKEN",
    "VLLM_API_KEY",
    "OPENAI_API_KEY",
    "AWS_SECRET_ACCESS_KEY",
)
SECRETS = {name: f"{MARK}-{number:02d}-{'0' * 20}" for number, name in enumerate(NAMES)}


def holding_the_mark(folder: Path) -> list[str]:
    files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    assert files
    return [str(path.relative_to(folder)) for path in files if MARK.encode() in path.read_bytes()]


def test_a_run_and_its_resumption(tmp_path: Path) -> None:
    """With wandb's files, which lie in the run folder, too."""
    spec = write_spec(tmp_path, steps=1, log={"wandb": "offline"}, validate_every=0)
    first = train(spec, HOME=str(tmp_path), **SECRETS)
    assert first.returncode == 0, first.stderr
    again = train("--resume", tmp_path / "runs" / "small", "steps=2", HOME=str(tmp_path), **SECRETS)
    assert again.returncode == 0, again.stderr
    assert MARK not in first.stdout + first.stderr + again.stdout + again.stderr
    assert holding_the_mark(tmp_path) == []


def test_a_run_that_fails(tmp_path: Path) -> None:
    """The error, the log and the status of a run that dies in a step."""
    spec = write_spec(tmp_path, steps=2, optim={"lr": 1e30, "updates_per_step": 2}, validate_every=0)
    failed = train(spec, **SECRETS)
    assert failed.returncode == 1, failed.stderr
    assert MARK not in failed.stdout + failed.stderr
    assert holding_the_mark(tmp_path) == []


def test_two_ranks(tmp_path: Path) -> None:
    done = train(write_spec(tmp_path, steps=1, engine={"ranks": 2}, validate_every=0), **SECRETS)
    assert done.returncode == 0, done.stderr
    assert MARK not in done.stdout + done.stderr
    assert holding_the_mark(tmp_path) == []
