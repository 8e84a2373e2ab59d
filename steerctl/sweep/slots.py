"""What one machine has to share out among cells that run side by side: CPU cores, or GPUs."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from steerctl.errors import SpecError
from steerctl.spec.checks import runs_on_cpu
from steerctl.spec.experiment import ExperimentSpec
from steerctl.spec.machine import Machine

VISIBLE = "CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True, slots=True)
class Slots:
    """Places for cells: the devices of each (none: CPU), and what to know about the choice."""

    devices: tuple[tuple[str, ...], ...]
    note: str = ""


def share_out(
    specs: Sequence[ExperimentSpec],
    machine: Machine,
    workers: int | None,
    environ: Mapping[str, str] = os.environ,
) -> Slots:
    """As many places as asked for, or as fit: cores by ranks times threads, or GPUs by ranks.

    Threads per rank are the experiment's: another number may change the last digits of a sum, and so the comparison.

    Raises:
        SpecError: an experiment needs more GPUs than there are.
    """
    on_gpu = [spec for spec in specs if not runs_on_cpu(spec, machine)]
    if not on_gpu:
        return _cores(specs, machine, workers)
    need = max(spec.engine.ranks for spec in on_gpu)
    gpus = _visible(machine, environ)
    if need > len(gpus):
        raise SpecError(f"engine.ranks: a cell needs {need} GPUs, there are {len(gpus)}; lower it, or set device: cpu")
    fit = len(gpus) // need
    count = workers or fit
    places = [tuple(gpus[index % fit * need : index % fit * need + need]) for index in range(count)]
    note = f"{count} cells at a time on {len(gpus)} GPUs: some share a GPU" if count > fit else ""
    return Slots(tuple(places), note)


def _cores(specs: Sequence[ExperimentSpec], machine: Machine, workers: int | None) -> Slots:
    need = max(spec.engine.ranks * spec.engine.threads_per_rank for spec in specs)
    count = workers or max(1, machine.cores // need)
    busy = count * need
    note = f"{busy} busy threads on {machine.cores} cores: slower than fewer workers" if busy > machine.cores else ""
    return Slots(((),) * count, note)


def _visible(machine: Machine, environ: Mapping[str, str]) -> list[str]:
    given = environ.get(VISIBLE)
    if given is None:
        return [str(index) for index in range(machine.gpus)]
    return [part.strip() for part in given.split(",") if part.strip()]
