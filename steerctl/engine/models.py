"""Loading a policy: folder, tokenizer, weights; every way it can be missing or unusable is one line of ModelError."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from steerctl.errors import ModelError
from steerctl.spec.experiment import PolicySpec
from steerctl.spec.model_facts import describe_local, model_folder

TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "tekken.json", "spiece.model")
"""A folder with none of these has no tokenizer."""

COMPARED = 1024
"""Leading elements of each parameter that are compared with the file after a partitioned load."""


def resolve(policy: PolicySpec) -> Path:
    """The local folder of the policy's model; a Hugging Face model id is fetched into the cache first.

    Raises:
        ModelError: there is no such model, or it has no safetensors weights although they are needed.
    """
    folder = model_folder(policy.model) or _fetch(policy)
    if not policy.random_weights and not any(folder.glob("*.safetensors")):
        raise ModelError(
            f"{policy.model}: no *.safetensors weights in {folder}; convert the model, or set policy.random_weights"
        )
    return folder


def load_tokenizer(policy: PolicySpec) -> Any:  # noqa: ANN401 (a transformers tokenizer)
    """The model's tokenizer; a chat template is not needed.

    Raises:
        ModelError: the folder has no tokenizer that transformers can load, or it has no end token that the model knows.
    """
    from transformers import AutoTokenizer  # noqa: PLC0415 (seconds of import)

    folder = resolve(policy)
    # Without files transformers makes an empty tokenizer of the class the configuration names, and says nothing.
    if not any((folder / name).is_file() for name in TOKENIZER_FILES) and not policy.trust_remote_code:
        raise ModelError(f"{policy.model}: no tokenizer in {folder} (one of {', '.join(TOKENIZER_FILES)})")
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=policy.trust_remote_code)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise ModelError(f"{policy.model}: no usable tokenizer in {folder}: {_first_line(error)}") from error
    # Its warning about long sequences: prompts are counted, and `steerctl check` speaks of the model's length.
    tokenizer.deprecation_warnings["sequence-length-is-longer-than-the-specified-maximum"] = True
    if tokenizer.eos_token_id is None:
        raise ModelError(f"{policy.model}: the tokenizer has no end-of-sequence token (eos_token)")
    facts = describe_local(str(folder))
    vocabulary = facts.vocab_size if facts is not None else None
    if vocabulary is not None and tokenizer.eos_token_id >= vocabulary:
        raise ModelError(
            f"{policy.model}: the tokenizer's end token {tokenizer.eos_token} ({tokenizer.eos_token_id}) is not in "
            f"the model's vocabulary of {vocabulary}; set eos_token in tokenizer_config.json"
        )
    return tokenizer


def load_model(policy: PolicySpec, *, seed: int, zero3: Mapping[str, Any] | None = None) -> Any:  # noqa: ANN401 (a transformers model)
    """The model with its weights, in `policy.dtype`.

    zero3: DeepSpeed's configuration; given, no rank ever holds more than its share of the weights and one layer
    (transformers partitions while it loads). Fresh weights are always drawn whole, in float32 on the CPU, so that they
    depend on `seed` and the architecture alone.

    Raises:
        ModelError: the model cannot be loaded, or a parameter is not in the files.
    """
    from transformers import AutoConfig, AutoModelForCausalLM  # noqa: PLC0415 (seconds of import)

    folder = resolve(policy)
    dtype = getattr(torch, policy.dtype)
    trust = policy.trust_remote_code
    with _quiet_transformers():
        try:
            if policy.random_weights:
                config = AutoConfig.from_pretrained(folder, trust_remote_code=trust)
                with torch.random.fork_rng(devices=[]):
                    torch.manual_seed(seed)
                    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32, trust_remote_code=trust)
                return model.to(dtype).eval()
            with _zero3_loading(zero3):
                model, report = AutoModelForCausalLM.from_pretrained(
                    folder, dtype=dtype, trust_remote_code=trust, output_loading_info=True
                )
        except (OSError, ValueError, KeyError, ImportError, RuntimeError, SafetensorError) as error:
            raise ModelError(
                f"{policy.model}: cannot be loaded as a causal language model: {_first_line(error)}"
            ) from error
    absent = sorted(report["missing_keys"]) + sorted(str(key) for key in report["mismatched_keys"])
    if absent:
        raise ModelError(f"{policy.model}: {len(absent)} parameters are not in the weight files, e.g. {absent[0]}")
    if zero3 is not None:
        check_partitioned(model, folder)
    return model


def check_partitioned(model: Any, folder: Path) -> None:  # noqa: ANN401 (a transformers model)
    """Compare the head of every partitioned parameter with the file; collective.

    Under ZeRO-3 transformers cannot know which parameters its loading missed, so each that is in the files by its own
    name is looked at.

    Raises:
        ModelError: a parameter is not what the file holds.
    """
    import deepspeed  # noqa: PLC0415 (imported quietly before)

    stored = _stored_names(folder)
    for name, parameter in model.named_parameters():
        if name not in stored:
            continue
        head = _file_head(stored[name], name)
        with deepspeed.zero.GatheredParameters([parameter]):
            loaded = parameter.detach().reshape(-1)[: head.numel()].cpu()
        if not torch.equal(loaded, head.to(loaded.dtype)):
            raise ModelError(f"{folder}: {name} was not loaded under ZeRO-3; use engine.zero_stage 2")


def eos_ids(folder: Path, tokenizer: Any) -> frozenset[int]:  # noqa: ANN401 (a transformers tokenizer)
    """Token ids that end a response: the tokenizer's and those of generation_config.json."""
    from transformers import GenerationConfig  # noqa: PLC0415 (seconds of import)

    ids = {int(tokenizer.eos_token_id)}
    if (folder / "generation_config.json").is_file():
        more = GenerationConfig.from_pretrained(folder).eos_token_id
        ids |= {more} if isinstance(more, int) else set(more or ())
    return frozenset(ids)


def _fetch(policy: PolicySpec) -> Path:
    from huggingface_hub import snapshot_download  # noqa: PLC0415 (only for models that are not on disk)

    patterns = ["*.json", "*.model", "*.txt", "*.jinja"]
    patterns += [] if policy.random_weights else ["*.safetensors"]
    patterns += ["*.py"] if policy.trust_remote_code else []
    try:
        return Path(snapshot_download(policy.model, revision=policy.revision, allow_patterns=patterns))
    except Exception as error:
        where = f" at revision {policy.revision}" if policy.revision else ""
        raise ModelError(
            f"{policy.model}: not a folder, and not available from the Hugging Face hub{where} ({_first_line(error)})"
        ) from error


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__


@contextmanager
def _quiet_transformers() -> Iterator[None]:
    from transformers.utils import logging  # noqa: PLC0415 (seconds of import)

    if "TRANSFORMERS_VERBOSITY" in os.environ:
        yield
        return
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


@contextmanager
def _zero3_loading(settings: Mapping[str, Any] | None) -> Iterator[None]:
    """Let transformers partition what it loads; only inside, or a sampler's plain copy would be partitioned too."""
    if settings is None:
        yield
        return
    from transformers.integrations.deepspeed import (  # noqa: PLC0415 (imports deepspeed)
        HfDeepSpeedConfig,
        unset_hf_deepspeed_config,
    )

    alive = HfDeepSpeedConfig(dict(settings))  # transformers keeps only a weak reference
    try:
        yield
    finally:
        del alive
        unset_hf_deepspeed_config()


def _stored_names(folder: Path) -> dict[str, Path]:
    names: dict[str, Path] = {}
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            names |= dict.fromkeys(file.keys(), path)
    return names


def _file_head(path: Path, name: str) -> torch.Tensor:
    with safe_open(path, framework="pt") as file:
        part = file.get_slice(name)
        width = max(1, int(torch.Size(part.get_shape()[1:]).numel()))
        rows: torch.Tensor = part[: -(-COMPARED // width)]
    return rows.reshape(-1)[:COMPARED]
