"""A small run as `steerctl train` leaves it, trained in this process."""

from __future__ import annotations

from pathlib import Path

from steerctl.engine.environment import prepare_single
from steerctl.run.build import build
from steerctl.run.reporter import Everyone
from steerctl.run.train import train
from steerctl.spec.load import dump_spec, load_spec
from steerctl.store.folder import RunFolder
from tests.run.command import write_spec

PROBE = {"positions": 40, "every": 1, "sequences": 8}


def stored_run(folder: Path, *, ranks: int = 1, rank: int = 0, **changes) -> Path:
    """Four steps of two updates; checkpoints after steps 2 and 4, so that steps 1 and 3 can be analysed.

    With several ranks each calls it, in a folder of its own; the run is in rank 0's.
    """
    settings = {
        "steps": 4,
        "validate_every": 0,
        "checkpoint": {"every": 2, "export": False},
        "analysis": {"probe": PROBE},
        "engine": {"ranks": ranks},
    } | changes
    spec = load_spec(write_spec(folder, **settings)).spec
    if ranks == 1:
        prepare_single()
    session = build(spec, Everyone())
    path = folder / "runs" / spec.name
    try:
        if rank:
            train(session, None, Everyone())
            return path
        with RunFolder.create(path, dump_spec(spec), environment={"run_id": "x"}) as run:
            train(session, run, Everyone())
    finally:
        session.close()
    return path
