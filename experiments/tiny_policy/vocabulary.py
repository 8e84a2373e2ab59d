"""The tokenizer of the tiny policy: one token per byte, so that any text goes in and comes out unchanged.

Tokens 0 to 255 are the bytes, 256 is `##`, 257 is `####` (the mark before an answer), then come the special tokens.
Digits are never merged.
"""

from __future__ import annotations

import json
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

PAD, BOS, EOS = "<|pad|>", "<|bos|>", "<|eos|>"
ROLES = ("system", "user", "assistant")
SPECIALS = (PAD, BOS, EOS, *(f"<|{role}|>" for role in ROLES))
# What rotary positions admit, so that real prompts can pass through; nothing longer than 128 was trained.
CONTEXT = 4096

CHAT_TEMPLATE = (
    "{{ bos_token }}"
    "{% for message in messages %}"
    "{% if message['role'] not in ['system', 'user', 'assistant'] %}"
    "{{ raise_exception('this template knows the roles system, user and assistant') }}"
    "{% endif %}"
    "{{ '<|' + message['role'] + '|>' + message['content'] }}"
    "{% if message['role'] == 'assistant' %}{{ eos_token }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


def byte_characters() -> list[str]:
    """The stand-in character of every byte, as GPT-2 has it: printable bytes stand for themselves."""
    plain = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)}
    spare = iter(range(256, 512))
    return [chr(byte) if byte in plain else chr(next(spare)) for byte in range(256)]


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """A fast tokenizer of 264 tokens with a chat template; loads with `AutoTokenizer`."""
    tokens = [*byte_characters(), "##", "####"]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    core = Tokenizer(models.BPE(vocab=vocabulary, merges=[("#", "#"), ("##", "##")]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    core.decoder = decoders.ByteLevel()
    core.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIALS])
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token=PAD,
        bos_token=BOS,
        eos_token=EOS,
        chat_template=CHAT_TEMPLATE,
        model_max_length=CONTEXT,
        clean_up_tokenization_spaces=False,
        padding_side="left",
    )


def save_tokenizer(folder: Path) -> None:
    """Write `tokenizer.json` and `tokenizer_config.json`, with the chat template inside the latter."""
    tiny_tokenizer().save_pretrained(folder, save_jinja_files=False)
    settings = folder / "tokenizer_config.json"
    known = json.loads(settings.read_text())
    known["tokenizer_class"] = "PreTrainedTokenizerFast"  # the name that transformers 4 knows too
    settings.write_text(json.dumps(known, indent=2, ensure_ascii=False, sort_keys=True) + "\n")
