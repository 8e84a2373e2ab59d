"""A small random Qwen2 model with a byte tokenizer on disk, and updates of random right-padded micro-batches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from steerctl.types import TokenBatch, TokenStats

VOCABULARY = 264
END = 256


def write_toy_model(folder: Path, *, tied: bool = False, layers: int = 1, **changes: Any) -> Path:
    """Save a Qwen2-shaped model (4 heads of 32) with seeded random weights, and its tokenizer.

    Hidden size 127: two ranks cannot halve its vectors, so that every slice is padded at the end.
    """
    from transformers import Qwen2Config, Qwen2ForCausalLM

    settings = {
        "vocab_size": VOCABULARY,
        "hidden_size": 127,
        "head_dim": 32,
        "intermediate_size": 256,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 256,
        "tie_word_embeddings": tied,
        "attention_dropout": 0.1,
        "initializer_range": 0.1,
        "eos_token_id": END,
        "bos_token_id": None,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        model = Qwen2ForCausalLM(Qwen2Config(**settings | changes))
        for name, parameter in model.named_parameters():
            if name.endswith(("bias", "norm.weight")):
                parameter.data.add_(0.1 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    toy_tokenizer().save_pretrained(folder)
    return folder


def toy_tokenizer() -> Any:
    """One token per byte, then the end token and seven unused ones."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {piece: index for index, piece in enumerate(alphabet)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>")  # noqa: S106 (a token, not a password)


def toy_update(index: int, rank: int, ranks: int) -> list[TokenBatch]:
    """Update `index` as seen by one rank: 8 sequences, two per micro-batch, then nothing to train.

    The sequences and their totals do not depend on `ranks`.
    """
    generator = torch.Generator().manual_seed(1000 + index)
    lengths = torch.randint(6, 20, (8,), generator=generator).tolist()
    tokens = [torch.randint(0, VOCABULARY, (length + 1,), generator=generator) for length in lengths]
    advantages = torch.randn(8, generator=generator)
    totals = (sum(length - 2 for length in lengths), 8)
    own = range(rank, 8, ranks)
    batches = [
        _micro_batch([tokens[i] for i in pair], advantages[list(pair)], pair, totals)
        for pair in zip(own[::2], own[1::2], strict=True)
    ]
    empty = _micro_batch([tokens[0]], advantages[:1], (-1,), totals)
    empty.loss_mask_BT.zero_()
    return [*batches, empty]


def toy_loss(stats: TokenStats, batch: TokenBatch) -> Tensor:
    """A policy-gradient loss with an entropy bonus, so that both gradients flow."""
    surrogate = (stats.logprobs_BT * batch.advantages_BT)[batch.loss_mask_BT].sum()
    bonus = stats.entropy_BT[batch.loss_mask_BT].sum()
    return -(surrogate + 0.05 * bonus) / batch.num_tokens


def _micro_batch(
    sequences: list[Tensor], advantages_B: Tensor, rows: tuple[int, ...], totals: tuple[int, int]
) -> TokenBatch:
    width = max(len(sequence) for sequence in sequences) - 1
    inputs, targets = torch.zeros((2, len(sequences), width), dtype=torch.int64)
    mask = torch.zeros((len(sequences), width), dtype=torch.bool)
    for row, sequence in enumerate(sequences):
        length = len(sequence) - 1
        inputs[row, :length], targets[row, :length] = sequence[:-1], sequence[1:]
        mask[row, 2:length] = True
    return TokenBatch(
        input_ids_BT=inputs,
        target_ids_BT=targets,
        loss_mask_BT=mask,
        advantages_BT=torch.where(mask, advantages_B[:, None], 0.0),
        rollout_logprobs_BT=torch.zeros(mask.shape),
        row_B=torch.tensor(rows),
        num_tokens=totals[0],
        num_sequences=totals[1],
    )
