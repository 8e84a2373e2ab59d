"""What samples responses: inside the training process, or vLLM servers beside it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from steerctl.plugins import Strict


class EmbeddedGenerator(Strict):
    """Samples inside the training process, with a plain copy of the policy: small models, no server."""

    kind: Literal["embedded"] = "embedded"
    max_sequences: PositiveInt = 512
    """Sequences decoded side by side."""


class VllmGenerator(Strict):
    """Samples on vLLM servers that steerctl starts, supervises and stops, or that run already; docs/generation.md."""

    kind: Literal["vllm"] = "vllm"
    servers: PositiveInt = 1
    """Servers to start on this machine."""
    urls: list[str] = Field(default=[])
    """Servers that run already, e.g. http://127.0.0.1:8000; none is started then."""
    api_key_env: str = "VLLM_API_KEY"
    """Environment variable with the API key of the servers in `urls`."""
    devices: list[NonNegativeInt] = Field(default=[])
    """CUDA devices, tensor_parallel for each server in turn; empty: all that are visible. Not read on a CPU."""
    tensor_parallel: PositiveInt = 1
    """Devices (on a CPU: processes) that share the layers of one server."""
    gpu_memory_utilization: Annotated[float, Field(gt=0, le=1)] = 0.85
    """Share of each device's memory that a server takes."""
    max_model_len: PositiveInt | None = None
    """Longest prompt with response, in tokens; None: data.max_prompt_tokens + rollout.max_tokens, or what the model
    was made for, if that is less."""
    eager: bool = False
    """No compilation and no CUDA graphs: quicker start, slower sampling. A CPU server always runs so."""
    cpu_kvcache_gib: PositiveInt = 1
    """Memory for keys and values of each server on a CPU."""
    cpu_threads: PositiveInt = 1
    """Threads of each server on a CPU."""
    startup_timeout: PositiveFloat = 600.0
    """Seconds a server may take to become ready."""
    request_timeout: PositiveFloat = 600.0
    """Seconds one response, or one push of weights, may take before the server counts as hung and is restarted."""
    max_in_flight: PositiveInt = 128
    """Responses each rank asks one server for at the same time."""
    max_restarts: NonNegativeInt = 3
    """Restarts of a server between two pushes of weights before the run stops. With transport nccl or ipc a server that
    ends stops the run: there is no file to start it from."""
    transport: Literal["disk", "nccl", "ipc"] = "disk"
    """How weights reach the servers: as safetensors in `transport_dir` (disk: CPU and GPU), by broadcast to GPUs of
    their own (nccl), or by reading the memory of GPUs they share with the trainer (ipc). nccl and ipc are written
    against vLLM's source and have not been run on a GPU."""
    colocate: Literal["off", "sleep"] = "off"
    """sleep: servers on the trainer's GPUs give their memory back between sampling and the next push of weights. Not
    run on a GPU yet."""
    transport_dir: str | None = None
    """Folder that servers and rank 0 both see; None: shared memory, or the temporary folder. Holds two copies of the
    weights."""
    parity_tokens: NonNegativeInt = 256
    """Sampled tokens whose log-probability is compared with the trainer's after every push; 0: none, not advised."""
    parity_tolerance: PositiveFloat = 1e-4
    """Largest difference allowed, in nats. Fits float32; for bfloat16 weights take about 0.2."""
    any_version: bool = False
    """Use a vLLM outside the tested versions."""

    @property
    def restarts(self) -> int:
        """Restarts between two pushes; none without a file to start from."""
        return self.max_restarts if self.transport == "disk" else 0

    @model_validator(mode="after")
    def _can_run(self) -> VllmGenerator:
        if self.urls and self.transport != "disk":
            raise ValueError(f"transport {self.transport} is for servers started here; servers in urls take disk")
        if self.urls and self.colocate != "off":
            raise ValueError("colocate: sleep is for servers started here; take colocate: off with urls")
        if self.transport == "nccl" and self.colocate != "off":
            raise ValueError("transport nccl needs GPUs apart from the trainer's; colocated servers take ipc or disk")
        needed = self.servers * self.tensor_parallel
        if self.devices and len(self.devices) != needed:
            raise ValueError(f"{len(self.devices)} devices for servers * tensor_parallel = {needed}; name {needed}")
        if wrong := [url for url in self.urls if not url.startswith(("http://", "https://"))]:
            raise ValueError(f"{wrong[0]} in urls is not a URL; write http://machine:port")
        return self


GeneratorSpec = Annotated[EmbeddedGenerator | VllmGenerator, Field(discriminator="kind")]
