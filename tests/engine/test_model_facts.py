"""Facts from config.json alone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from steerctl.engine.model_facts import ModelFacts, describe, facts_of, model_folder
from steerctl.errors import ModelError

QWEN = {
    "architectures": ["Qwen2ForCausalLM"],
    "hidden_size": 896,
    "num_attention_heads": 14,
    "tie_word_embeddings": True,
    "vocab_size": 151936,
    "max_position_embeddings": 32768,
}


def test_a_folder(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(QWEN))
    assert describe(str(tmp_path)) == ModelFacts("Qwen2ForCausalLM", 64, True, 151936, 32768, ())


def test_explicit_head_dim_silence_on_ties_and_bent_logits() -> None:
    facts = facts_of({"model_type": "gemma2", "head_dim": 256, "final_logit_softcapping": 30.0, "logit_scale": 1.0})
    assert facts == ModelFacts("gemma2", 256, None, 0, None, ("final_logit_softcapping",))


def test_nested_text_configuration() -> None:
    facts = facts_of({"architectures": ["V"], "text_config": QWEN | {"logits_scaling": 8}})
    assert (facts.architecture, facts.head_dim, facts.logits_bent_by) == ("V", 64, ("logits_scaling",))


@pytest.mark.parametrize("name", ["./nowhere", "/nowhere", "~/nowhere", "a/b/c"])
def test_missing_folder(name: str) -> None:
    with pytest.raises(ModelError, match=r"no such folder; policy.model is tiny, a model folder or"):
        model_folder(name)


def test_folder_without_config(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no config.json"):
        describe(str(tmp_path))


def test_damaged_config(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ModelError, match=r"config.json cannot be read"):
        describe(str(tmp_path))


def test_a_model_id_is_not_a_folder() -> None:
    assert model_folder("Qwen/Qwen2.5-0.5B") is None


def test_no_torch_is_loaded() -> None:
    code = "import sys, steerctl.engine.model_facts; sys.exit('torch' in sys.modules or 'deepspeed' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
