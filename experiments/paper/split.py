"""DAPO-Math-17k in two: what is trained on, and what validation asks, so that no benchmark chooses a checkpoint.

    python -m experiments.paper.split data/DAPO-Math-17k.parquet    # dapo-train.parquet, dapo-validation.parquet

A row is held out if its question's keyed hash is among the smallest ones, so that copies of a question stay together
whatever the order of the file; as many questions as asked for, 512 unless said. Columns and rows stay as they are.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

KEY = "steerctl/paper/validation/1"
QUESTIONS = 512


def held_out(questions: Sequence[str], count: int) -> set[str]:
    """So many distinct questions, chosen by hash. Raises ValueError if there are not more than that."""
    distinct = set(questions)
    if len(distinct) <= count:
        raise ValueError(f"{len(distinct)} questions cannot give {count} to validation and leave some to train on")
    return set(sorted(distinct, key=lambda text: hashlib.sha256(f"{KEY}\0{text}".encode()).digest())[:count])


def split(table: pa.Table, count: int) -> tuple[pa.Table, pa.Table]:
    """The rows to train on, and those held out."""
    questions = [" ".join(turn["content"] for turn in turns).split() for turns in table["prompt"].to_pylist()]
    texts = [" ".join(words) for words in questions]
    chosen = held_out(texts, count)
    kept = pa.array([text not in chosen for text in texts])
    return table.filter(kept), table.filter(pa.compute.invert(kept))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--questions", type=int, default=QUESTIONS)
    parser.add_argument("--out", type=Path, help="folder; the file's own if not said")
    options = parser.parse_args()
    folder: Path = options.out or options.file.parent
    folder.mkdir(parents=True, exist_ok=True)
    train, validation = split(pq.read_table(options.file), options.questions)
    for name, rows in (("dapo-train", train), ("dapo-validation", validation)):
        pq.write_table(rows, folder / f"{name}.parquet")
        print(f"{folder / name}.parquet: {rows.num_rows} rows")


if __name__ == "__main__":
    main()
