"""The paper's figures of single tokens' entropy changes: fig1, fig9, fig10, fig18, fig19, fig20, fig21.

    python -m experiments.token_changes.figures                # all of them
    python -m experiments.token_changes.figures fig1 fig10     # these alone, and only the runs they need

Runs of ten steps whose every update is probed: three policies, two sets of problems, three seeds, shared by all
figures; what is missing is trained (experiments/figures/studies.py). SCALE=paper: the paper's models and data, on a
machine that holds them; results in a folder `paper`.

Predictions that are not in nats are scaled to fit best, all tokens of a policy with one factor. Intervals are 95 %,
from resampled problems; a problem asked in two seeds is one.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from experiments.figures import studies
from experiments.token_changes import policies
from experiments.token_changes.drawings import (
    draw_clips,
    draw_entropies,
    draw_histograms,
    draw_scatters,
    draw_steps,
    histogram_rows,
)
from experiments.token_changes.measures import FINE, PROBABILITIES, agreement_rows, clip_rows, entropy_rows, pushed
from experiments.token_changes.sentences import (
    about_clips,
    about_entropies,
    about_histograms,
    about_scatters,
    about_steps,
    of,
)
from experiments.token_changes.tokens import MAIN, POLICIES, PROBLEMS, SIZES, Case, Tokens, cases, chosen, tokens_of
from steerctl.analysis.agreement import agreement
from steerctl.report.axis import SignedAxis

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Study:
    """The runs of a scale, and where the results go."""

    scale: studies.Scale
    folder: Path

    def cases(self, which: int, *, every_size: bool) -> list[Case]:
        """Of a set of problems: 0 is the first."""
        sizes = SIZES[self.scale] if every_size else (MAIN[self.scale],)
        return cases(self.scale, PROBLEMS[self.scale][which : which + 1], sizes)

    @cached_property
    def main(self) -> Tokens:
        """Tokens of one policy on the first set of problems."""
        return tokens_of(self.cases(0, every_size=False))

    def sizes(self, which: int) -> dict[str, Tokens]:
        """Those of each policy on one set of problems."""
        tokens = tokens_of(self.cases(which, every_size=True))
        return {size: chosen(tokens, tokens["size"] == size) for size in SIZES[self.scale]}

    def pictures(self, name: str) -> tuple[Path, Path]:
        """Where a figure goes."""
        return self.folder / f"{name}.svg", self.folder / f"{name}.png"


def steps(study: Study, name: str) -> str:
    """fig1: estimate against truth over the first steps."""
    rows = agreement_rows(study.main, ["step"])
    studies.write_rows(study.folder / f"{name}.csv", rows)
    draw_steps(study.main, rows, *study.pictures(name))
    return about_steps(rows, study.main)


def clips(study: Study, name: str) -> str:
    """fig9: clip counts by probability, in tenths; fine bins at both ends in the CSV as well."""
    rows = {kind: clip_rows(study.main, edges) for kind, edges in (("tenths", PROBABILITIES), ("fine", FINE))}
    studies.write_rows(
        study.folder / f"{name}.csv", [{"bins": kind, **row} for kind, few in rows.items() for row in few]
    )
    draw_clips(rows["tenths"], *study.pictures(name))
    return about_clips(rows["tenths"], study.main)


def entropies(study: Study, name: str) -> str:
    """fig10: entropy against its change, all tokens."""
    rows = entropy_rows(study.main)
    studies.write_rows(study.folder / f"{name}.csv", rows)
    tokens = study.main
    found = agreement(tokens["entropy"], tokens["measured"], tokens["problem_id"], ordered=200).measures
    text = f"Pearson {of(found['pearson'])}\nSpearman {of(found['spearman'])}"
    draw_entropies(tokens, rows, text, *study.pictures(name))
    return about_entropies(rows, tokens)


def histograms(study: Study, name: str) -> str:
    """fig18, fig20: distribution of the change, measured and predicted."""
    found = study.sizes(int(name == "fig20"))
    rows = histogram_rows(found)
    studies.write_rows(study.folder / f"{name}.csv", rows)
    values = np.concatenate([pushed(tokens)["measured"] for tokens in found.values()])
    draw_histograms(rows, SignedAxis.of(values), *study.pictures(name))
    return about_histograms(found)


def scatters(study: Study, name: str) -> str:
    """fig19, fig21: predicted against measured change."""
    found = study.sizes(int(name == "fig21"))
    rows = []
    for size, tokens in found.items():
        few = agreement_rows(tokens, [])
        rows += [{**row, "by": "size", "group": size} for row in few]
    studies.write_rows(study.folder / f"{name}.csv", rows)
    draw_scatters(found, *study.pictures(name))
    return about_scatters(rows)


MAKERS: dict[str, Callable[[Study, str], str]] = {
    "fig1": steps, "fig9": clips, "fig10": entropies,
    "fig18": histograms, "fig19": scatters, "fig20": histograms, "fig21": scatters,
}  # fmt: skip


def needed(study: Study, names: list[str]) -> list[Case]:
    """The runs of these figures, all of the first seed before the next."""
    found = [
        case
        for name in names
        for case in study.cases(int(name in {"fig20", "fig21"}), every_size=name not in {"fig1", "fig9", "fig10"})
    ]
    return sorted(dict.fromkeys(found), key=lambda case: case.seed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("figures", nargs="*", metavar="FIGURE", help=f"of {', '.join(MAKERS)}; all if none is named")
    parser.add_argument("--out", type=Path, help="folder of the results")
    args = parser.parse_args()
    asked = args.figures or list(MAKERS)
    if unknown := set(asked) - set(MAKERS):
        parser.error(f"no such figure here: {', '.join(sorted(unknown))}")
    scale = studies.scale_asked()
    folder: Path = args.out or (HERE if scale == "tiny" else HERE / scale)
    folder.mkdir(parents=True, exist_ok=True)
    study = Study(scale, folder)
    wanted = needed(study, asked)
    if scale == "tiny" and any(case.size != policies.SHIPPED for case in wanted):
        policies.build_missing(POLICIES)
    studies.train_missing(wanted)
    for name in asked:
        text = MAKERS[name](study, name)
        (folder / f"{name}.txt").write_text(text, encoding="utf-8")
        print(f"{name}: {text}", end="", flush=True)


if __name__ == "__main__":
    main()
