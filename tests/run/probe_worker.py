"""One rank of test_probe: `python probe_worker.py FOLDER JOB`; rank 0 leaves weights and tokens in FOLDER."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

from steerctl.analysis.table import joined
from steerctl.engine.environment import current_rank, prepare_single
from steerctl.run.build import build
from steerctl.run.record import step_metrics
from steerctl.run.reporter import Everyone
from steerctl.run.step import run_step
from steerctl.spec.load import load_spec
from tests.run.command import write_spec
from tests.run.stored import stored_run


def run(folder: Path, settings: dict[str, Any], ranks: int) -> dict[str, Any]:
    """One step of two updates."""
    spec = load_spec(write_spec(folder, validate_every=0, **settings["spec"]), [f"engine.ranks={ranks}"]).spec
    session = build(spec, Everyone())
    digest = hashlib.sha256()
    try:
        session.parts.generator.load_weights(session.policy.weights(), 0)
        outcome = run_step(session.parts, 0, 0)
        metrics = step_metrics(outcome, session.parts.surrogate, session.policy)
        for _, weight in session.policy.weights():
            digest.update(weight.cpu().numpy().tobytes())
    finally:
        session.close()
    columns = {name: values.tolist() for name, values in joined(outcome.probed).items()}
    return {"weights": digest.hexdigest(), "tokens": columns, "metrics": metrics}


def main() -> None:
    environment = current_rank() or prepare_single()
    folder, job = Path(sys.argv[1]), sys.argv[2]
    own = folder / f"rank{environment.rank}of{environment.world_size}"
    own.mkdir(exist_ok=True)
    cases = json.loads((folder / f"{job}.json").read_text())
    reports: dict[str, Any] = {each["name"]: run(own, each, environment.world_size) for each in cases}
    stored = stored_run(own, ranks=environment.world_size, rank=environment.rank, steps=1)
    reports["stored"] = str(stored)
    if environment.rank == 0:
        (folder / f"{job}-{environment.world_size}.json").write_text(json.dumps(reports))


if __name__ == "__main__":
    main()
