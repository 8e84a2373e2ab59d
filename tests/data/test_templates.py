"""Templates wrap the last user turn; rendering uses the chat template if there is one."""

import pytest
import tokenizers

from steerctl.data.templates import ask, prompt_text, render
from steerctl.types import Message

TURNS = (Message("system", "Be brief."), Message("user", "1+1?"))


class Letters:
    """A tokenizer of one token per character, start token 1, with a chat template or without."""

    def __init__(self, chat_template=None):
        self.chat_template = chat_template

    def apply_chat_template(self, conversation, *, tokenize, add_generation_prompt):
        assert not tokenize
        assert add_generation_prompt
        return "".join(f"<{turn['role']}>{turn['content']}" for turn in conversation) + "<assistant>"

    def encode(self, text, *, add_special_tokens):
        return [1] * add_special_tokens + [ord(character) for character in text]


def test_plain_leaves_the_turns_as_they_are():
    assert ask(TURNS, "plain") == TURNS


def test_boxed_and_dapo_wrap_the_last_user_turn_only():
    turns = (Message("user", "first"), Message("assistant", "no"), Message("user", "1+1?"))
    boxed, dapo = ask(turns, "boxed"), ask(turns, "dapo")
    assert boxed[:2] == dapo[:2] == turns[:2]
    assert boxed[2].content.startswith("1+1?\n\n")
    assert boxed[2].content.endswith("\\boxed{}.")
    assert "\n\n1+1?\n\n" in dapo[2].content
    assert "of the form Answer: $Answer (without quotes) where $Answer is" in dapo[2].content
    assert dapo[2].content.endswith('on its own line after "Answer:".')


def test_a_prompt_without_a_user_turn_is_left_alone():
    only_system = (Message("system", "x"),)
    assert ask(only_system, "boxed") == only_system


def test_the_chat_template_writes_its_own_special_tokens():
    expected = "<system>Be brief.<user>1+1?<assistant>"
    assert prompt_text(TURNS, Letters("template")) == expected
    assert render(TURNS, Letters("template")) == tuple(map(ord, expected))


def test_without_a_chat_template_contents_are_joined():
    assert render(TURNS, Letters()) == (1, *map(ord, "Be brief.\n\n1+1?"))


def test_the_dapo_template_is_the_one_in_the_published_evaluation_files(shared_math):
    import pyarrow.parquet as pq

    row = pq.read_table(shared_math / "aime24.parquet").slice(0, 1).to_pylist()[0]
    question = Message("user", row["extra_info"]["raw_problem"])
    assert ask((question,), "dapo")[0].content == row["prompt"][0]["content"]


def test_a_hugging_face_tokenizer_renders_as_it_would_itself():
    transformers = pytest.importorskip("transformers")
    words = {"<s>": 0, "[user]": 1, "[assistant]": 2, "1+1?": 3}
    model = tokenizers.Tokenizer(tokenizers.models.WordLevel(words))
    model.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    model.post_processor = tokenizers.processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=model)
    turns = (Message("user", "1+1?"),)
    assert render(turns, tokenizer) == (0, 3)
    tokenizer.chat_template = (
        "<s> {% for m in messages %}[{{ m.role }}] {{ m.content }} {% endfor %}"
        "{% if add_generation_prompt %}[assistant]{% endif %}"
    )
    own = tokenizer.apply_chat_template(
        [{"role": "user", "content": "1+1?"}], tokenize=True, add_generation_prompt=True, return_dict=False
    )
    assert render(turns, tokenizer) == tuple(own) == (0, 1, 3, 2)
