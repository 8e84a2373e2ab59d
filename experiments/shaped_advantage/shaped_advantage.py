"""Figure 11: GTPO, the entropy-shaped advantage and GRPO: entropy and reward over training.

    python -m experiments.shaped_advantage.shaped_advantage            # trains what is missing; SCALE=paper for the 7B
    python -m experiments.shaped_advantage.shaped_advantage --drawn    # draws what is there

end       mean of the last five steps; curve: mean of all steps
interval  95 %, Student's t over seeds; differences to GRPO are paired by seed
"""

from __future__ import annotations

from pathlib import Path

from experiments.figures import studies
from experiments.figures.seed_curves import (
    Curves,
    by_variant,
    difference,
    draw_differences,
    draw_lines,
    end_of,
    legend_above,
    legend_on,
    mean_of,
    smoothed,
)
from steerctl.report.canvas import drawing

HERE = Path(__file__).resolve().parent
SEEDS = (1, 2, 3)
ENTROPY, REWARD = "policy/entropy/mean", "reward/mean"
METHODS = {"gtpo": "GTPO", "entropy_advantage": "entropy-shaped advantage"}


def draw(entropy: Curves, reward: Curves, out: Path) -> None:
    """Entropy, reward, and the differences of entropy to GRPO."""
    labels = {"grpo": "GRPO", **METHODS}
    with drawing(out / "fig11.svg", out / "fig11.png", width=10.4, height=3.7) as figure:
        left, middle, right = figure.subplots(1, 3)
        draw_lines(left, entropy, labels)
        left.set_ylabel("entropy (nats per token)")
        left.set_ylim(bottom=0)
        draw_lines(middle, smoothed(reward), labels)
        middle.set_ylabel("reward, mean of five steps")
        middle.set_ylim(bottom=0)
        rows = [
            (
                label.replace("-shaped ", "-shaped\n"),
                [difference(of(entropy[stem]), of(entropy["grpo"])) for of in (mean_of, end_of)],
            )
            for stem, label in METHODS.items()
        ]
        draw_differences(right, rows, ("mean over the run", "last five steps"))
        right.set_xlabel("entropy less GRPO's (nats per token)")
        legend_on(right, columns=1)
        legend_above(figure, left, columns=3)


def sentence(entropy: Curves, reward: Curves) -> str:
    """The result in one sentence."""
    seeds = min(len(runs) for runs in entropy.values())
    parts = [
        f"{label} {difference(mean_of(entropy[stem]), mean_of(entropy['grpo']))} over the run and "
        f"{difference(end_of(entropy[stem]), end_of(entropy['grpo']))} at its end, with "
        f"{difference(end_of(reward[stem]), end_of(reward['grpo']))} reward at the end"
        for stem, label in METHODS.items()
    ]
    return (
        f"Entropy less GRPO's in nats ({seeds} seeds, paired, 95 % interval; end: the last five steps): "
        f"{'; '.join(parts)}.\n"
    )


def main() -> None:
    variants = [studies.GRPO, *(HERE / f"{stem}.yaml" for stem in METHODS)]
    planned, out = studies.have(HERE, __doc__, variants, SEEDS)
    found = studies.collect(planned, (ENTROPY, REWARD))
    entropy, reward = by_variant(found, ENTROPY), by_variant(found, REWARD)
    draw(entropy, reward, out)
    studies.write_rows(out / "fig11.csv", found)
    text = sentence(entropy, reward)
    studies.write_result(out, "fig11", text)
    print(text, end="")


if __name__ == "__main__":
    main()
