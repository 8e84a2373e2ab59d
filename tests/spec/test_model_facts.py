"""Facts from config.json alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from steerctl.errors import ModelError
from steerctl.spec.model_facts import ModelFacts, describe_local, facts_of, model_folder


def test_facts_by_hand() -> None:
    config = {"architectures": ["Qwen2ForCausalLM"], "hidden_size": 896, "num_attention_heads": 14}
    assert facts_of(config) == ModelFacts("Qwen2ForCausalLM", 64, None, None, None, ())
    config |= {"head_dim": 128, "tie_word_embeddings": False, "max_position_embeddings": 4096, "vocab_size": 264}
    assert facts_of(config) == ModelFacts("Qwen2ForCausalLM", 128, False, 264, 4096, ())


def test_nested_text_config_and_nonsense() -> None:
    nested = {"model_type": "gemma3", "text_config": {"head_dim": 256, "max_position_embeddings": 8192}}
    assert facts_of(nested) == ModelFacts("gemma3", 256, None, None, 8192, ())
    assert facts_of({"head_dim": "wide", "hidden_size": -3}).head_dim is None


def test_keys_that_bend_logits_count_only_when_they_have_an_effect() -> None:
    config = {"text_config": {"final_logit_softcapping": 30.0, "logit_scale": 1.0, "logits_scaling": None}}
    assert facts_of(config).logits_bent_by == ("final_logit_softcapping",)


def test_folders(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"head_dim": 32}))
    facts = describe_local(str(tmp_path))
    assert facts is not None
    assert facts.head_dim == 32
    assert describe_local("Qwen/Qwen2.5-0.5B") is None
    assert model_folder("gpt2") is None


@pytest.mark.parametrize(
    ("content", "said"), [(None, "no config.json"), ("{", "cannot be read"), ("[1]", "not a mapping"), ("\0", "cannot")]
)
def test_broken_folders(tmp_path: Path, content: str | None, said: str) -> None:
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    with pytest.raises(ModelError, match=said):
        describe_local(str(tmp_path))


@pytest.mark.parametrize("model", ["./nowhere", "/nowhere/at/all", "~/nowhere-at-all", "a/b/c"])
def test_missing_folders(model: str) -> None:
    with pytest.raises(ModelError, match="no folder"):
        describe_local(model)
