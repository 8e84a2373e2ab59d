"""First-order entropy changes of a tabular policy against measured ones -> tabular.csv, tabular.svg, .png, README.md.

    python experiments/tightness/tabular.py            # 5 seeds, 20,000 states each: two minutes on one core
    python experiments/tightness/tabular.py --states 2000 --out /tmp/tabular

Every state has parameters of its own, so nothing but the form of the prediction can be wrong. Four measurements:

    A  one sampled token per state, coefficient w = ±U[0.3, 1.8]; truth: ΔH/η after dz = η·w·(e_a − π)
    B  the expected update of 4,000 states, V = 500, w from N(½, 1): policy gradient dz = η·π(w − w̄), natural dz = η·w
    C  8 samples in one state, w normalised over them, dz = η/8·Σ w(e_a − π); states where all 8 agree do not move
    D  one update of 8 responses, 3 of them right, w their GRPO advantage, η = 0.01: which tokens change most;
       and the weights STEER (λ_min 0.8) would give them

Each number is the mean over seeds with a 95 % interval (Student's t). The prototype's numbers, one seed of states of
its own, are in prototype.csv; `inside` says whether such a number lies where one more seed of ours would in 95 of 100
cases.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import torch
from tabular_results import Key, distance, draw, read_prototype, summarised, table, write_csv, write_table
from tabular_states import FAMILIES, draw_states, entropy_of, one_token_each
from torch import Tensor

from steerctl.analysis.agreement import agreement
from steerctl.entropy.change import covariance_population
from steerctl.intervention._weights import exponential

HERE = Path(__file__).resolve().parent
ETAS = {"A": (0.01, 0.1, 0.3, 1.0, 4.0), "B": (0.001, 3.0, 30.0), "B natural": (0.001, 1.0), "C": (0.001, 3.0)}
MEASURES = ("pearson", "spearman", "sign", "r2", "slope")
OVERLAPS = tuple(f"top_{percent}_{kind}" for percent in ("0.2", "1", "5") for kind in ("fall", "size"))


def compared(start: Key, predicted: Tensor, truth: Tensor, measures: tuple[str, ...]) -> Iterator[tuple[Key, float]]:
    """`start` up to the prediction's name; the last place is the measure's."""
    found = agreement(predicted, truth, range(truth.numel()), resamples=0).measures
    for measure in measures:
        value = found[measure].value
        if value is not None:
            yield (*start[:4], measure), value


def generator_of(seed: int, place: int) -> torch.Generator:
    return torch.Generator().manual_seed(1_000 * seed + place)


def measure_a(seed: int, states: int) -> Iterator[tuple[Key, float]]:
    for place, family in enumerate(FAMILIES):
        generator = generator_of(seed, place)
        size = 0.3 + 1.5 * torch.rand(states, generator=generator, dtype=torch.float64)
        sign = torch.where(torch.rand(states, generator=generator) < 0.5, 1.0, -1.0)
        sampled = one_token_each(family, size * sign, ETAS["A"], generator)
        yield ("A", family, "", "", "mean entropy"), float(sampled.entropy.mean())
        for eta, truth in sampled.changes.items():
            predictions = sampled.predictions(eta)
            yield ("A", family, f"{eta:g}", "truth", "mean"), float(truth.mean())
            yield ("A", family, f"{eta:g}", "second_order", "mean"), float(predictions["second_order"].mean())
            likely = sampled.logprobs + sampled.entropy > 0
            agree = predictions["own_logit"][likely].sign() == truth[likely].sign()
            yield ("A", family, f"{eta:g}", "own_logit", "sign where likely"), float(agree.double().mean())
            for name, predicted in predictions.items():
                yield from compared(("A", family, f"{eta:g}", name, ""), predicted, truth, MEASURES)


def measure_b(seed: int, states: int) -> Iterator[tuple[Key, float]]:
    generator = generator_of(seed, 10)
    logits = draw_states("llm", states, 500, generator)
    raw = 0.5 + torch.randn(logits.shape, generator=generator, dtype=torch.float64)
    logprobs, before = logits.log_softmax(dim=-1), entropy_of(logits)
    prob = logprobs.exp()
    centred = raw - (prob * raw).sum(dim=-1, keepdim=True)
    gap = logprobs + before[:, None]
    predictions = {
        "population": covariance_population(logprobs, raw),
        "population_natural": covariance_population(logprobs, raw, natural=True),
        "paper_expectation": -(prob * centred * (1 - prob) ** 2 * gap).sum(dim=-1),
        "paper_not_centred": -(prob * raw * (1 - prob) ** 2 * gap).sum(dim=-1),
        "released_expectation": -(prob * centred * (1 - prob) * gap).sum(dim=-1),
        "own_logit_expectation": -(prob * prob * centred * (1 - prob) * gap).sum(dim=-1),
    }
    for measurement, step in (("B", prob * centred), ("B natural", centred)):
        for eta in ETAS[measurement]:
            truth = (entropy_of(logits + eta * step) - before) / eta
            for name, predicted in predictions.items():
                yield from compared((measurement, "llm", f"{eta:g}", name, ""), predicted, truth, ("pearson", "r2"))


def measure_c(seed: int, states: int) -> Iterator[tuple[Key, float]]:
    generator = generator_of(seed, 20)
    logits = draw_states("llm", states, 500, generator)
    logprobs, before = logits.log_softmax(dim=-1), entropy_of(logits)
    prob = logprobs.exp()
    actions = torch.multinomial(prob, 8, replacement=True, generator=generator)
    weight = torch.randn(states, 8, generator=generator, dtype=torch.float64)
    weight = (weight - weight.mean(dim=1, keepdim=True)) / weight.std(dim=1, keepdim=True)
    own, gap = logprobs.gather(1, actions), (logprobs + before[:, None]).gather(1, actions)
    own_prob = own.exp()
    step = (torch.zeros_like(logits).scatter_add(1, actions, weight)) / 8  # Σ w = 0: the −π of all samples cancel
    centred = own - own.mean(dim=1, keepdim=True)
    predictions = {
        "exact": -(weight * own_prob * gap).mean(dim=1),  # S̄ cancels as well
        "own_logit": -(weight * own_prob * (1 - own_prob) * gap).mean(dim=1),
        "within_state_weighted": -(weight * own_prob * centred).mean(dim=1),
        "within_state": -(weight * centred).mean(dim=1),
        "released": -(weight * (1 - own_prob) * gap).mean(dim=1),
        "paper_integrand": -(weight * (1 - own_prob) ** 2 * gap).mean(dim=1),
    }
    moves = (actions != actions[:, :1]).any(dim=1)
    yield ("C", "llm", "", "", "share that moves"), float(moves.double().mean())
    for eta in ETAS["C"]:
        truth = (entropy_of(logits + eta * step) - before) / eta
        for name, predicted in predictions.items():
            yield from compared(("C", "llm", f"{eta:g}", name, ""), predicted[moves], truth[moves], ("pearson", "sign"))


def measure_d(seed: int, tokens: int) -> Iterator[tuple[Key, float]]:
    rewards = torch.tensor([1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0], dtype=torch.float64)
    advantages = (rewards - rewards.mean()) / rewards.std()
    weight = advantages.repeat_interleave(tokens // 8)
    sampled = one_token_each("llm", weight, (0.01,), generator_of(seed, 30))
    truth, predictions = sampled.changes[0.01], sampled.predictions(0.01)
    for name, predicted in {**predictions, "entropy": sampled.entropy}.items():
        ranked = -predicted if name == "entropy" else predicted  # the most uncertain states as those that fall most
        yield from compared(("D", "llm", "0.01", name, ""), ranked, truth, OVERLAPS)
    yield from steer_weights(predictions)


def steer_weights(predictions: dict[str, Tensor]) -> Iterator[tuple[Key, float]]:
    """What STEER's exponential mapping (floor 0.02, as released) makes of the batch."""
    for name in ("released", "exact"):
        size = predictions[name].abs()
        weights = exponential(size, 0.8, 1.0, 0.02)(size)
        found = {
            "metric max": size.max(),
            "metric median": size.median(),
            "weight mean": weights.mean(),
            "weights below 0.99": (weights < 0.99).double().mean(),
            "weights below 0.9": (weights < 0.9).double().mean(),
        }
        for measure, value in found.items():
            yield ("D", "llm", "0.01", name, measure), float(value)


def run(seeds: int, states: int) -> dict[Key, list[float]]:
    """Every number of every seed."""
    found: defaultdict[Key, list[float]] = defaultdict(list)
    fewer, tokens = max(16, states // 5), max(16, states * 6 // 5 // 8 * 8)
    for seed in range(1, seeds + 1):
        parts = measure_a(seed, states), measure_b(seed, fewer), measure_c(seed, fewer), measure_d(seed, tokens)
        for key, value in chain(*parts):
            found[key].append(value)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--states", type=int, default=20_000, help="of A; B and C have a fifth, D six fifths")
    parser.add_argument(
        "--out", type=Path, default=HERE, help="folder of the results; README.md only changes by default"
    )
    args = parser.parse_args()
    torch.set_num_threads(1)
    start, prototype = time.perf_counter(), read_prototype()
    lines = {key: summarised(values, prototype.get(key)) for key, values in run(args.seeds, args.states).items()}
    missing = prototype.keys() - lines.keys()
    if missing:
        raise SystemExit(f"not measured here: {sorted(missing)}")
    args.out.mkdir(parents=True, exist_ok=True)
    write_csv(lines, args.out / "tabular.csv")
    draw(lines, ETAS["A"], args.out)
    text = f"{table(lines)}\n\n{distance(lines)}"
    if args.out == HERE:
        write_table(text)
    print(text)
    print(f"{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
