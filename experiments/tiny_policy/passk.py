"""pass@k of the base policy: `python experiments/tiny_policy/passk.py [--model DIR] [--split test]`.

Samples every problem 64 times at temperature 1 and writes `passk.csv` and `passk.png`. pass@k is the unbiased estimate
1 - C(n-c, k) / C(n, k) of Chen et al. (arXiv:2107.03374, eq. 1), averaged over problems.
"""

from __future__ import annotations

import argparse
import csv
import math
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import torch
from matplotlib.figure import Figure
from rich.progress import track
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast, Qwen2ForCausalLM

from steerctl.data.arithmetic import ArithmeticParams, ArithmeticProblem, generate
from steerctl.reward.arithmetic import extract_answer

HERE = Path(__file__).resolve().parent
SHIPPED = HERE.parents[1] / "steerctl" / "assets" / "tiny_policy"
SAMPLES = 64
KS = (1, 2, 4, 8, 16, 32, 64)
MAX_TOKENS = 48


@dataclass(frozen=True, slots=True)
class Sampled:
    """The responses to a batch of prompts, and the entropy in nats of every distribution a token was drawn from.

    A response that was cut before its end token is empty.
    """

    texts: list[str]
    entropies: list[float]
    lengths: list[int]


def pass_at_k(samples: int, correct: int, k: int) -> float:
    """The chance that k of the samples, drawn without replacement, contain a correct one."""
    return 1.0 - math.comb(samples - correct, k) / math.comb(samples, k)


@torch.inference_mode()
def sample(
    model: Qwen2ForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    prompts: list[list[int]],
    generator: torch.Generator | None,
) -> Sampled:
    """One response per prompt, all prompts of one length; greedy where `generator` is None."""
    ids: Tensor = torch.tensor(prompts)
    running = torch.ones(len(prompts), dtype=torch.bool)
    tokens_B_T: list[list[int]] = [[] for _ in prompts]
    entropies: list[float] = []
    cache = None
    for _ in range(MAX_TOKENS):
        output = model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
        cache = output.past_key_values
        logprobs_BV = output.logits[:, -1].log_softmax(-1)
        entropies += (-(logprobs_BV.exp() * logprobs_BV).sum(-1))[running].tolist()
        if generator is None:
            drawn_B = logprobs_BV.argmax(-1)
        else:
            drawn_B = torch.multinomial(logprobs_BV.exp(), 1, generator=generator)[:, 0]
        for row in running.nonzero()[:, 0].tolist():
            tokens_B_T[row].append(int(drawn_B[row]))
        running &= drawn_B != tokenizer.eos_token_id
        ids = drawn_B[:, None]
        if not running.any():
            break
    ended = [tokens[-1] == tokenizer.eos_token_id for tokens in tokens_B_T]
    texts = [tokenizer.decode(tokens[:-1]) if end else "" for tokens, end in zip(tokens_B_T, ended, strict=True)]
    return Sampled(texts, entropies, [len(tokens) for tokens in tokens_B_T])


@dataclass(slots=True)
class Tally:
    """What was counted: per problem the number of correct samples and whether the greedy response was right."""

    correct: dict[str, int]
    greedy: dict[str, bool]
    entropies: list[float]
    lengths: list[int]


def count(model: Qwen2ForCausalLM, tokenizer: PreTrainedTokenizerFast, problems: list[ArithmeticProblem]) -> Tally:
    """Sample every problem `SAMPLES` times, prompts of one length together."""
    by_length: defaultdict[int, list[tuple[ArithmeticProblem, list[int]]]] = defaultdict(list)
    for problem in problems:
        chat = [{"role": "user", "content": problem.text}]
        prompt = tokenizer.apply_chat_template(chat, add_generation_prompt=True)["input_ids"]
        by_length[len(prompt)].append((problem, prompt))
    generator = torch.Generator().manual_seed(0)
    tally = Tally({}, {}, [], [])
    chunks = [group[i : i + 8] for _, group in sorted(by_length.items()) for i in range(0, len(group), 8)]
    for chunk in track(chunks, description="sampling"):
        prompts = [prompt for _, prompt in chunk]
        greedy = sample(model, tokenizer, prompts, None)
        drawn = sample(model, tokenizer, [prompt for prompt in prompts for _ in range(SAMPLES)], generator)
        tally.entropies += drawn.entropies
        tally.lengths += drawn.lengths
        for index, (problem, _) in enumerate(chunk):
            answers = [extract_answer(text) for text in drawn.texts[index * SAMPLES : (index + 1) * SAMPLES]]
            tally.correct[problem.text] = answers.count(str(problem.answer))
            tally.greedy[problem.text] = extract_answer(greedy.texts[index]) == str(problem.answer)
    return tally


def table(problems: list[ArithmeticProblem], tally: Tally) -> list[dict[str, str | float]]:
    """One row for all problems and one per level."""
    levels = sorted({problem.level for problem in problems})
    rows: list[dict[str, str | float]] = []
    for level in ("all", *levels):
        texts = [problem.text for problem in problems if level in ("all", problem.level)]
        row: dict[str, str | float] = {"level": level, "problems": len(texts)}
        row["greedy"] = round(sum(tally.greedy[text] for text in texts) / len(texts), 4)
        for k in KS:
            row[f"pass@{k}"] = round(sum(pass_at_k(SAMPLES, tally.correct[text], k) for text in texts) / len(texts), 4)
        rows.append(row)
    return rows


def draw(rows: list[dict[str, str | float]], path: Path) -> None:
    """The curve of every level over k, k on a logarithmic axis."""
    figure = Figure(figsize=(5.5, 3.6), layout="constrained")
    axes = figure.subplots()
    for row in rows:
        style = {"color": "black", "linewidth": 2.2} if row["level"] == "all" else {"linewidth": 1.2}
        axes.plot(KS, [float(row[f"pass@{k}"]) for k in KS], marker="o", markersize=3, label=row["level"], **style)
    axes.set_xscale("log", base=2)
    axes.set_xticks(KS, [str(k) for k in KS])
    axes.set(xlabel="k samples per problem", ylabel="pass@k", ylim=(0, 1.02))
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, loc="lower right")
    figure.savefig(path, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=SHIPPED)
    parser.add_argument("--split", choices=("train", "test"), default="test")
    parser.add_argument("--problems", type=int, default=512)
    parser.add_argument("--out", type=Path, default=HERE, help="folder for passk.csv and passk.png")
    args = parser.parse_args()
    torch.set_num_threads(1)
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    model = AutoModelForCausalLM.from_pretrained(args.model, dtype=torch.float32).eval()
    problems = generate(ArithmeticParams(), args.split, args.problems, seed=1)
    tally = count(model, tokenizer, problems)
    rows = table(problems, tally)
    args.out.mkdir(parents=True, exist_ok=True)
    with (args.out / "passk.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    draw(rows, args.out / "passk.png")
    for row in rows:
        print("  ".join(f"{key} {value}" for key, value in row.items()))
    lengths = sorted(tally.lengths)
    print(f"mean token entropy {sum(tally.entropies) / len(tally.entropies):.3f} nats, "
          f"response length median {lengths[len(lengths) // 2]}, longest {lengths[-1]}")  # fmt: skip


if __name__ == "__main__":
    main()
