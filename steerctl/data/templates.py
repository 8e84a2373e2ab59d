r"""Prompt templates by name: problem text to chat turns, chat turns to token ids."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Protocol

from steerctl.types import Message

TemplateName = Literal["boxed", "dapo", "plain"]
_BOXED_AFTER = "\n\nPlease reason step by step, and put your final answer within \\boxed{}."
_DAPO_BEFORE = (
    "Solve the following math problem step by step. The last line of your response should be of the form "
    "Answer: $Answer (without quotes) where $Answer is the answer to the problem.\n\n"
)
_DAPO_AFTER = '\n\nRemember to put your answer on its own line after "Answer:".'
_AROUND: dict[TemplateName, tuple[str, str]] = {
    "boxed": ("", _BOXED_AFTER),
    "dapo": (_DAPO_BEFORE, _DAPO_AFTER),
    "plain": ("", ""),
}


class Tokenizer(Protocol):
    """What is used of a Hugging Face tokenizer."""

    chat_template: Any

    def apply_chat_template(
        self, conversation: list[dict[str, str]], *, tokenize: bool, add_generation_prompt: bool
    ) -> Any:  # noqa: ANN401 (a text, or ids if asked for)
        """The turns as the model expects them."""

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        """The token ids of a text."""

    def decode(self, token_ids: list[int]) -> str:
        """The text of some token ids."""


def ask(messages: Sequence[Message], template: TemplateName) -> tuple[Message, ...]:
    r"""The chat turns with the template's instruction around the last user turn; `plain` leaves them as they are.

    boxed  asks for the answer in a final box
    dapo   asks for a last line "Answer: $Answer"
    plain  for data that carries its instruction already, as the schema shared by DAPO and verl does

    Source: boxed as in Qwen2.5-Math's prompt; dapo as in the DAPO recipe (verl, `recipe/dapo`).
    """
    before, after = _AROUND[template]
    users = [index for index, message in enumerate(messages) if message.role == "user"]
    if template == "plain" or not users:
        return tuple(messages)
    turns = list(messages)
    turns[users[-1]] = Message("user", before + turns[users[-1]].content + after)
    return tuple(turns)


def prompt_text(messages: Sequence[Message], tokenizer: Tokenizer) -> str:
    """The text of a prompt, up to where the response begins.

    With the model's chat template and its opening of the assistant's turn. A tokenizer without a chat template (base
    models, the embedded policy) gets the contents of the turns, joined by empty lines, and nothing else.
    """
    if not tokenizer.chat_template:
        return "\n\n".join(message.content for message in messages)
    turns = [{"role": message.role, "content": message.content} for message in messages]
    text: str = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    return text


def render(messages: Sequence[Message], tokenizer: Tokenizer) -> tuple[int, ...]:
    """Token ids of a prompt.

    A chat template writes its own special tokens; without one the tokenizer adds those it starts a text with.
    """
    text = prompt_text(messages, tokenizer)
    return tuple(tokenizer.encode(text, add_special_tokens=not tokenizer.chat_template))
