"""Tiny policies of several sizes: the shipped one, and smaller ones and a larger one of its recipe.

    python -m experiments.token_changes.policies DIR     # DIR/small and DIR/large, where they are not there yet

They see the lessons and habits of experiments/tiny_policy for half as many updates: four minutes of a core.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from experiments.tiny_policy.build import ENVIRONMENT

SHIPPED = "shipped"
SIZES = ("small", SHIPPED, "large")
"""Of the figures of token changes."""
MIDDLE = "middle"
"""Between small, which is wrong so often that nothing teaches it, and the shipped one."""


def model_of(root: Path, size: str) -> str:
    """What `policy.model` is given."""
    return "tiny" if size == SHIPPED else str(root / size)


def build_missing(root: Path, sizes: Sequence[str] = SIZES) -> None:
    """Train what is not there."""
    root.mkdir(parents=True, exist_ok=True)
    for size in sizes:
        if size != SHIPPED and not (root / size).is_dir():
            print(f"training the {size} policy", flush=True)
            _build(root / size)


def _build(folder: Path) -> None:
    """In a process of its own, with the recipe's environment; the folder is there when it is whole."""
    part = folder.with_name(f"{folder.name}.part")
    command = [sys.executable, "-m", "experiments.token_changes.policies", "--one", str(part), folder.name]
    subprocess.run(command, env=os.environ | ENVIRONMENT, check=True)
    part.rename(folder)


def _train(folder: Path, size: str) -> None:
    from train import COURSES, Course, Shape, build  # noqa: PLC0415 (of the recipe, on this process' path)

    shapes = {
        "small": Shape(width=64, inner=128, layers=2, heads=2, key_value_heads=1),
        MIDDLE: Shape(width=96, inner=192, layers=3, heads=3, key_value_heads=1),
        "large": Shape(width=192, inner=384, layers=4, heads=6, key_value_heads=2),
    }
    courses = [Course(each.phase, each.updates // 2, each.muon, each.adamw) for each in COURSES]
    shutil.rmtree(folder, ignore_errors=True)
    build(folder, shapes[size], courses)


if __name__ == "__main__":
    if sys.argv[1] == "--one":
        _train(Path(sys.argv[2]), sys.argv[3])
    else:
        build_missing(Path(sys.argv[1]))
