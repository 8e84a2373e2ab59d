"""How a rank of a real launch answers its test: a report per case, left by rank 0 for `test_policy.run_ranks`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from steerctl.engine.environment import current_rank, prepare_single
from steerctl.engine.ranks import end_rank


def answer(run: Callable[[Path, dict[str, Any]], Any]) -> None:
    """`python WORKER.py FOLDER JOB`: run(folder, settings) for every case of FOLDER/JOB.json, on every rank."""
    environment = current_rank() or prepare_single()
    folder, job = Path(sys.argv[1]), sys.argv[2]
    cases = json.loads((folder / f"{job}.json").read_text())
    reports = {settings["name"]: run(folder, settings) for settings in cases}
    if environment.rank == 0:
        (folder / f"{job}-{environment.world_size}.json").write_text(json.dumps(reports))
    if environment.world_size > 1:
        end_rank(0)
