"""The package on its own, away from the repository: what a wheel holds is enough."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from steerctl.spec.pages import pages

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]
ROOT = Path(__file__).resolve().parents[2]


def test_check_schema_and_train_from_a_copy_of_the_package(tmp_path: Path) -> None:
    site, away = tmp_path / "site", tmp_path / "away"
    shutil.copytree(ROOT / "steerctl", site / "steerctl", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "experiments" / "quickstart", away / "quickstart")

    def steerctl(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "steerctl", *arguments],
            env={**os.environ, "PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"},
            cwd=away, capture_output=True, text=True, check=False, timeout=280,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    where = subprocess.run(
        [sys.executable, "-c", "import steerctl; print(steerctl.__file__)"],
        env={**os.environ, "PYTHONPATH": str(site)}, cwd=away, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert where.stdout.startswith(str(site)), "the copy is what runs"
    assert steerctl("check", "--brief", "quickstart/steer.yaml") == "quickstart/steer.yaml: ready\n"
    steerctl("schema", "--markdown", ".")
    assert {name: (away / name).read_text(encoding="utf-8") for name in pages()} == pages()
    small = ["steps=1", "validate_every=0", "rollout.problems_per_step=8", "rollout.group_size=4"]
    steerctl("train", "quickstart/steer.yaml", "--quiet", *small)
    assert (away / "runs" / "quickstart-steer" / "model" / "model.safetensors").is_file()
