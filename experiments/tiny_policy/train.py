"""Supervised training of the tiny policy: lessons, then habits. Started by build.py, which fixes the environment."""

from __future__ import annotations

import argparse
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from muon import Muon
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from teacher import Phase, solution
from torch import Tensor, nn
from transformers import GenerationConfig, PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM
from vocabulary import CONTEXT, save_tokenizer, tiny_tokenizer

from steerctl.data.arithmetic import ArithmeticParams, ArithmeticProblem, generate

SEED = 0
BATCH = 64
SORTED_TOGETHER = 8  # batches whose sequences are sorted by length, so that little is padded
CLIP_NORM = 1.0


@dataclass(frozen=True, slots=True)
class Course:
    """One phase of training: updates, and the peak learning rates of Muon (matrices) and AdamW (the rest)."""

    phase: Phase
    updates: int
    muon: float
    adamw: float


COURSES = (Course("lessons", 900, 6e-3, 3e-3), Course("habits", 450, 3e-3, 2e-3))


@dataclass(frozen=True, slots=True)
class Shape:
    """Of the network; attention heads have size 32. The defaults are the shipped policy's."""

    width: int = 128
    inner: int = 256
    layers: int = 3
    heads: int = 4
    key_value_heads: int = 2


@dataclass(frozen=True, slots=True)
class Batch:
    """Right-padded sequences; loss_mask_BT is True where `target_ids_BT` belongs to the response."""

    input_ids_BT: Tensor
    target_ids_BT: Tensor
    loss_mask_BT: Tensor


@dataclass(frozen=True, slots=True)
class Example:
    """Token ids of a prompt and of one response to it, end token included."""

    prompt: list[int]
    response: list[int]


def new_model(tokenizer: PreTrainedTokenizerFast, shape: Shape = Shape()) -> Qwen2ForCausalLM:
    """About half a million parameters; embeddings untied, head size 32: what vLLM's CPU engine can serve and reload."""
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=shape.width,
        intermediate_size=shape.inner,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.key_value_heads,
        head_dim=32,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=False,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        attn_implementation="sdpa",
        dtype="float32",
    )
    model = Qwen2ForCausalLM(config)
    generator = torch.Generator().manual_seed(SEED)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() == 2:
                embedding = "embed_tokens" in name or "lm_head" in name
                parameter.normal_(0.0, 0.02 if embedding else 0.7 / math.sqrt(parameter.shape[1]), generator=generator)
            elif name.endswith("bias"):
                parameter.zero_()
    return model


def problem_stream() -> Iterator[ArithmeticProblem]:
    """Training problems without end: one generated list after another, each with its own seed."""
    seed = SEED
    while True:
        yield from generate(ArithmeticParams(), "train", BATCH * SORTED_TOGETHER, seed)
        seed += 1


def examples(tokenizer: PreTrainedTokenizerFast, phase: Phase) -> Iterator[list[Example]]:
    """Batches of `BATCH` examples of similar length, in random order."""
    rng = random.Random(f"{phase}/{SEED}")
    problems = problem_stream()
    while True:
        pool = []
        for problem in (next(problems) for _ in range(BATCH * SORTED_TOGETHER)):
            chat = [{"role": "user", "content": problem.text}]
            text = tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
            response = solution(problem, phase, rng) + tokenizer.eos_token
            ids = [tokenizer.encode(part, add_special_tokens=False) for part in (text, response)]
            pool.append(Example(*ids))
        pool.sort(key=lambda example: len(example.prompt) + len(example.response))
        batches = [pool[start : start + BATCH] for start in range(0, len(pool), BATCH)]
        rng.shuffle(batches)
        yield from batches


def collate(batch: list[Example], pad: int) -> Batch:
    """Pad on the right and shift by one."""
    width = max(len(example.prompt) + len(example.response) for example in batch)
    ids = torch.full((len(batch), width), pad)
    mask = torch.zeros(len(batch), width, dtype=torch.bool)
    for row, example in enumerate(batch):
        length = len(example.prompt) + len(example.response)
        ids[row, :length] = torch.tensor(example.prompt + example.response)
        mask[row, len(example.prompt) : length] = True
    return Batch(ids[:, :-1], ids[:, 1:], mask[:, 1:])


def train(
    model: Qwen2ForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    progress: Progress,
    courses: Sequence[Course] = COURSES,
) -> None:
    """Run every course; a cosine from the peak rate to its fiftieth part in each."""
    bar = progress.add_task("training", total=sum(course.updates for course in courses), loss=math.nan)
    for course in courses:
        inner = [p for name, p in model.named_parameters() if p.dim() == 2 and "layers" in name]
        chosen = {id(parameter) for parameter in inner}
        outer = [parameter for parameter in model.parameters() if id(parameter) not in chosen]
        muon, adamw = Muon(inner), torch.optim.AdamW(outer, betas=(0.9, 0.98), weight_decay=0.01)
        batches = examples(tokenizer, course.phase)
        for update in range(course.updates):
            cosine = 0.5 * (1 + math.cos(math.pi * update / course.updates))
            share = min(1.0, (update + 1) / 50) * (0.98 * cosine + 0.02)
            adamw.param_groups[0]["lr"] = course.adamw * share
            batch = collate(next(batches), tokenizer.pad_token_id)
            hidden = model.model(input_ids=batch.input_ids_BT, use_cache=False).last_hidden_state
            logits = model.lm_head(hidden[batch.loss_mask_BT])
            loss = nn.functional.cross_entropy(logits, batch.target_ids_BT[batch.loss_mask_BT])
            torch.autograd.backward(loss)
            nn.utils.clip_grad_norm_(model.parameters(), CLIP_NORM)
            adamw.step()
            muon.step(course.muon * share)
            adamw.zero_grad()
            progress.update(bar, advance=1, description=course.phase, loss=loss.item())


def save(model: Qwen2ForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write the model folder: weights and config, sampling defaults, tokenizer with chat template."""
    folder.mkdir(parents=True, exist_ok=True)
    model.generation_config = GenerationConfig(
        do_sample=True,
        temperature=1.0,
        top_k=0,
        top_p=1.0,
        max_new_tokens=48,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model.save_pretrained(folder)
    (folder / "model.safetensors").chmod(0o644)
    save_tokenizer(folder)


def build(folder: Path, shape: Shape = Shape(), courses: Sequence[Course] = COURSES) -> None:
    """Train a policy and write its model folder."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(mode=True)
    tokenizer = tiny_tokenizer()
    model = new_model(tokenizer, shape)
    columns = (
        TextColumn("{task.description:8}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("loss {task.fields[loss]:.3f}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        train(model, tokenizer, progress, courses)
    save(model, tokenizer, folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    build(parser.parse_args().out)


if __name__ == "__main__":
    main()
