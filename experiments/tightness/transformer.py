"""First-order entropy changes of the tiny transformer against measured ones -> transformer_*, docs/tightness.md.

    python experiments/tightness/transformer.py                     # 3 seeds, eight processor minutes on one core
    python experiments/tightness/transformer.py --seeds 1 --steps 1 --problems 8 --out /tmp/tightness

The quickstart's GRPO is trained for as many steps as are looked at, once per seed. Each update of those steps is taken
apart at 192 of its tokens: the measured change of full-vocabulary entropy in float64, the derivative along the update,
the second order, and what the token's own gradient did, for AdamW as it was and for plain gradient descent from the
same weights along the same gradient, at learning rates over three decades. Then the same updates as they are in runs
trained at half the rate.

The tokens are kept in runs/tightness; stopped at any moment, the command goes on with the runs that are missing.
Intervals are 95 %, from 400 resamples of problems; a problem asked in two seeds is one.

    transformer_agreement.csv   every number about agreement, the measures of steerctl/analysis/agreement.py
    transformer_parts.csv       own state, other tokens, momentum and decay, remainder: steerctl/analysis/shares.py
    transformer_slices.csv      every prediction by optimiser, step, quadrant, probability, gradient norm, learning rate
    transformer_tails.csv       how few tokens make the remainder
    transformer_*.svg, .png     figures
    docs/tightness.md           its tables (only when --out is not given)
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from transformer_figures import draw_forms, draw_parts, draw_predictions, draw_rates
from transformer_results import LATER, PARTS, TOTALS, Results, write_agreement, write_parts, write_tails
from transformer_slices import slice_table, sliced, write_slices
from transformer_studies import Tokens, study
from transformer_tables import measure, rate_text, tables
from transformer_tokens import RATES, TRAINED_AT, Training, tokens_of

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PAGE = ROOT / "docs" / "tightness.md"
EXTRA_RATE = 2e-4
"""Of the runs that are trained at another rate."""
END = "<!-- end of table -->"


def gather(args: argparse.Namespace) -> tuple[Tokens, Tokens]:
    """The tokens of the runs that are taken apart, and those of the runs at the other rate."""
    steps = tuple(sorted(set(args.steps)))
    sizes = (steps, args.problems, args.positions)
    apart, total = [], []
    for seed in range(1, args.seeds + 1):
        apart.append(tokens_of(Training(seed, TRAINED_AT, *sizes, apart=True), args.tokens))
        total.append(tokens_of(Training(seed, EXTRA_RATE, *sizes, apart=False), args.tokens))
        print(f"seed {seed}: {len(np.unique(apart[-1]['problem_id']))} problems", flush=True)
    return _together(apart), _together(total)


def _together(parts: Sequence[Tokens]) -> Tokens:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def draw(found: Results, tokens: Tokens, folder: Path) -> None:
    def both(name: str) -> tuple[Path, Path]:
        return folder / f"transformer_{name}.svg", folder / f"transformer_{name}.png"

    for optimiser in found.rates:
        draw_rates(found, optimiser, *both(f"rates_{optimiser.lower()}"))
    draw_parts(found, *both("parts"))
    if LATER in found.updates:
        draw_forms(found, *both("forms"))
        draw_predictions(found, tokens, *both("predictions"))


def write_page(shown: dict[str, str]) -> None:
    """Each table between its markers."""
    page = PAGE.read_text(encoding="utf-8")
    for name, table in shown.items():
        begin = f"<!-- table {name}: written by experiments/tightness/transformer.py -->"
        if begin in page:
            head, rest = page.split(begin)
            page = f"{head}{begin}\n{table}\n{END}{rest.split(END, 1)[1]}"
    PAGE.write_text(page, encoding="utf-8")


def sentence(found: Results) -> str:
    """The result in one sentence."""
    last = found.updates[-1]
    cell = found.cell("AdamW", found.trained_at, last)
    first = found.line("rates", cell, TOTALS[0])
    own, others, carried, beyond = (found.share(cell, part).size.value or 0.0 for part in PARTS)
    return (
        f"AdamW at {rate_text(found.trained_at)}, {last}: the first-order change along the whole update and the "
        f"measured one have Pearson {measure(first, 'pearson')} and sign agreement {measure(first, 'sign')}; of all "
        f"movement {own:.0%} is the tokens' own, {others:.0%} other tokens', {carried:.0%} momentum and weight decay, "
        f"{beyond:.0%} beyond first order.\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, nargs="+", default=[1, 3, 10], help="whose updates are looked at, from 1")
    parser.add_argument("--problems", type=int, default=64, help="of each step, 8 responses each")
    parser.add_argument("--positions", type=int, default=192, help="tokens of each update")
    parser.add_argument("--tokens", type=Path, default=ROOT / "runs" / "tightness", help="where they are kept")
    parser.add_argument("--out", type=Path, default=HERE, help="folder of the results")
    args = parser.parse_args()
    torch.set_num_threads(1)
    start = time.process_time()
    tokens, extra = gather(args)
    found = study(tokens, extra, TRAINED_AT, RATES)
    args.out.mkdir(parents=True, exist_ok=True)
    write_agreement(found, args.out / "transformer_agreement.csv")
    write_parts(found, args.out / "transformer_parts.csv")
    write_tails(found, args.out / "transformer_tails.csv")
    parts = list(sliced(tokens))
    write_slices(parts, args.out / "transformer_slices.csv")
    draw(found, tokens, args.out)
    shown = {**tables(found), "slices": slice_table(parts)}
    if args.out == HERE:
        write_page(shown)
    else:
        print("\n\n".join(f"{name}\n\n{table}" for name, table in shown.items()))
    text = sentence(found)
    (args.out / "transformer.txt").write_text(text, encoding="utf-8")
    print(f"{text}{time.process_time() - start:.0f} processor seconds")


if __name__ == "__main__":
    main()
