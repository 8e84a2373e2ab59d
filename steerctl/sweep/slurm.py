"""Workers as jobs of a cluster, through submitit (extra `slurm`): each job runs `steerctl sweep` with one worker.

A job that ends early (its time is up, its node is lost) leaves its cells to the others, or to the next submission.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from steerctl.errors import UserError
from steerctl.sweep.agenda import Agenda
from steerctl.sweep.command import SweepRequest, open_sweep

Cluster = Literal["slurm", "local"]


def submit(agenda: Agenda, request: SweepRequest, cluster: Cluster) -> list[str]:
    """Submit as many workers as asked for (1 if not said); what to tell the user.

    The study and all its cells exist when the first job starts.

    Raises:
        UserError: submitit is not installed, or there is no Slurm here.
    """
    executor = _executor(agenda, cluster)
    folder, board = open_sweep(agenda)
    board.bring_up_to_date(agenda.wanted, retry_failed=request.retry_failed)
    command = worker_command(request)
    jobs = [executor.submit(_function(command)) for _ in range(request.workers or 1)]
    ids = ", ".join(str(job.job_id) for job in jobs)
    return [
        f"submitted {len(jobs)} workers ({cluster}): {ids}",
        f"their output: {folder.jobs}; how far they are: steerctl sweep {shlex.quote(request.file)} --dry-run",
    ]


def worker_command(request: SweepRequest) -> list[str]:
    """What each job runs."""
    own = [sys.executable, "-m", "steerctl", "sweep", str(Path(request.file).absolute()), *request.overrides]
    only = ["--only", ",".join(request.only)] if request.only else []
    return [*own, *only, "--workers", "1"]


def _function(command: Sequence[str]) -> Any:  # noqa: ANN401 (submitit has no types)
    import submitit  # noqa: PLC0415 (an extra)

    return submitit.helpers.CommandFunction(list(command), verbose=False)


def _executor(agenda: Agenda, cluster: Cluster) -> Any:  # noqa: ANN401
    try:
        import submitit  # noqa: PLC0415 (an extra)
    except ImportError as error:
        raise UserError("submitit is not installed; pip install 'steerctl[slurm]'") from error
    asked = agenda.sweep.spec.slurm
    try:
        executor = submitit.AutoExecutor(folder=str(_jobs(agenda)), cluster=cluster)
    except RuntimeError as error:
        raise UserError(f"{cluster}: {error}; submit from a machine of the cluster") from error
    executor.update_parameters(timeout_min=asked.minutes, name=agenda.sweep.spec.name)
    if cluster == "slurm":
        executor.update_parameters(
            cpus_per_task=asked.cpus_per_task,
            gpus_per_node=asked.gpus_per_node or None,
            mem_gb=asked.memory_gb,
            slurm_partition=asked.partition,
            slurm_additional_parameters=dict(asked.extra),
        )
    return executor


def _jobs(agenda: Agenda) -> Path:
    folder, _ = open_sweep(agenda)
    return folder.jobs
