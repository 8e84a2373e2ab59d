"""What vLLM servers that take weights from memory, or sleep beside the trainer, need from the machine."""

from __future__ import annotations

from steerctl.spec.experiment import ExperimentSpec
from steerctl.spec.finding import Finding, Findings
from steerctl.spec.generator import VllmGenerator
from steerctl.spec.machine import Machine

PATH = "rollout.generator"


def serving(spec: ExperimentSpec, machine: Machine | None) -> Findings:
    """Transports nccl and ipc and `colocate: sleep` are for GPUs, each with its own way of sharing them out."""
    generator = spec.rollout.generator
    if not isinstance(generator, VllmGenerator):
        return
    direct, sleeps = generator.transport != "disk", generator.colocate == "sleep"
    if sleeps and spec.rollout.ahead:
        text = "servers that sleep while training cannot sample ahead; set rollout.ahead: 0 or colocate: off"
        yield Finding("error", f"{PATH}.colocate", text)
    if spec.engine.device == "cpu" or (machine is not None and machine.gpus == 0):
        if direct:
            text = f"{generator.transport} moves weights between GPUs and there are none; use transport: disk"
            yield Finding("error", f"{PATH}.transport", text)
        if sleeps:
            text = "sleep frees GPU memory and there is no GPU: vLLM ignores it on a CPU; use colocate: off"
            yield Finding("error", f"{PATH}.colocate", text)
        return
    if direct:
        text = f"{generator.transport} has not been run on a GPU by its authors; docs/generation.md, Transports"
        yield Finding("warning", f"{PATH}.transport", text)
    ranks, workers = spec.engine.ranks, generator.servers * generator.tensor_parallel
    if generator.transport == "ipc" and workers > ranks:
        text = f"ipc lets each of the {workers} server processes read from a rank on its own GPU, and there are {ranks}"
        yield Finding("error", f"{PATH}.transport", f"{text}; raise engine.ranks or use transport: disk")
    if generator.transport == "nccl" and machine is not None and workers + ranks > machine.gpus:
        text = f"nccl needs a GPU for each of {ranks} ranks and {workers} server processes, this machine has"
        yield Finding("error", f"{PATH}.transport", f"{text} {machine.gpus}; use ipc or disk to share them")
