"""The paper's own numbers, percent, by row and column; arXiv 2510.10150.

Read from transcriptions, not from the PDF: tables 3, 4, 6 and 12 of v4 as an independent replication (STEER-F,
Parkdev22222/entropy_collapse) wrote them down, table 5 of v4 from published notes, figure 17 of v1 from the text of
its PDF, where which bar belongs to which λ_min was inferred from their order. Every average was added up again and
agrees within rounding; figure 17 prints none, its averages are ours. Rows that could not be found are not here: of
table 3 SimpleRL-Zoo, Eurus-PRIME, clip-higher, the entropy loss, fork tokens and W-REINFORCE.

Means of two runs, the checkpoint chosen by AIME24, which is one of the columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

Rows = Mapping[str, tuple[float, ...]]


@dataclass(frozen=True, slots=True)
class Published:
    """One table: its columns, the last one an average where there is one, and its rows."""

    source: str
    columns: tuple[str, ...]
    rows: Rows
    averaged: bool = True

    def average(self, row: str) -> float | None:
        """The last column, None where the table has no average or no such row."""
        return self.rows[row][-1] if self.averaged and row in self.rows else None


BENCHMARKS: Final = ("AIME24", "AIME25", "AMC23", "MATH500", "Minerva", "Olympiad", "average")
V4 = "arXiv 2510.10150 v4, Table {}, transcribed by an independent replication"
TABLE3: Final = Published(
    V4.format(3) + ", Qwen2.5-Math-7B",
    BENCHMARKS,
    {
        "Base": (13.8, 5.3, 44.6, 39.6, 9.9, 13.8, 21.2),
        "GRPO": (28.0, 14.3, 66.2, 78.6, 37.3, 40.9, 44.2),
        "OPO": (32.2, 13.4, 71.5, 82.2, 38.2, 41.0, 46.4),
        "Entropy advantage": (27.5, 13.5, 70.2, 79.6, 36.8, 42.8, 45.1),
        "Clip-Cov": (32.5, 12.9, 68.4, 78.0, 40.8, 41.3, 45.7),
        "KL-Cov": (32.8, 14.1, 64.2, 78.8, 37.1, 39.4, 44.4),
        "STEER": (36.2, 16.1, 72.1, 82.2, 41.7, 43.0, 48.6),
    },
)
TABLE4: Final = Published(
    V4.format(4) + ", Qwen2.5-14B",
    BENCHMARKS,
    {
        "Base": (3.9, 2.6, 25.8, 52.6, 15.4, 23.0, 20.6),
        "GRPO": (17.2, 13.2, 66.3, 80.6, 38.0, 42.2, 42.9),
        "OPO": (17.8, 12.6, 68.2, 78.6, 37.7, 42.6, 42.9),
        "Entropy advantage": (14.6, 9.8, 65.6, 78.8, 36.5, 40.9, 41.0),
        "Clip-Cov": (14.1, 13.6, 59.8, 78.2, 38.6, 43.2, 41.2),
        "STEER": (19.3, 14.3, 70.3, 81.4, 39.4, 46.7, 45.2),
    },
)
TABLE6: Final = Published(
    V4.format(6) + ", Qwen2.5-Math-7B at clip 0.99/5",
    BENCHMARKS,
    {
        "GRPO": (31.6, 12.8, 66.7, 79.0, 39.3, 40.1, 44.9),
        "Entropy advantage": (34.8, 13.4, 64.3, 77.6, 37.6, 39.9, 44.6),
        "Entropy bonus": (32.7, 14.7, 71.3, 79.0, 36.8, 41.4, 46.0),
        "Clip-Cov": (30.4, 14.0, 72.3, 79.6, 37.1, 41.7, 45.8),
        "STEER": (36.1, 16.0, 76.3, 80.5, 39.5, 42.3, 48.5),
    },
)
TABLE12: Final = Published(
    V4.format(12) + ", Qwen2.5-Math-1.5B",
    BENCHMARKS,
    {
        "Base": (4.1, 2.1, 24.7, 29.0, 9.2, 20.5, 14.9),
        "GRPO": (16.2, 7.6, 56.0, 74.4, 26.1, 34.6, 35.8),
        "OPO": (14.8, 9.0, 58.2, 72.2, 26.1, 35.9, 36.0),
        "Entropy advantage": (15.0, 9.1, 55.7, 70.2, 26.8, 34.9, 35.3),
        "Clip-Cov": (14.7, 8.4, 56.0, 72.8, 26.4, 34.9, 35.5),
        "STEER": (17.4, 9.7, 61.6, 75.5, 28.2, 36.6, 38.2),
    },
)
TABLE5: Final = Published(
    "arXiv 2510.10150 v4, Table 5, from published notes, Qwen2.5-Coder; Internal and Zeta are code edits",
    ("Internal", "Zeta", "LiveCodeBench v5"),
    {
        "GRPO, 3B": (39.7, 17.4, 24.4),
        "STEER, 3B": (41.2, 19.3, 24.9),
        "GRPO, 7B": (40.1, 22.0, 28.5),
        "STEER, 7B": (41.9, 24.0, 29.2),
        "GRPO, 14B": (42.6, 22.3, 29.3),
        "STEER, 14B": (45.1, 24.1, 31.8),
    },
    averaged=False,
)
FIG17: Final = Published(
    "arXiv 2510.10150 v1, Figure 17, Qwen2.5-Math-7B; averages ours, which bar is which λ_min inferred",
    BENCHMARKS,
    {
        "STEER, λ_min 0.8": (33.5, 15.6, 71.1, 81.4, 39.6, 41.0, 47.0),
        "STEER, λ_min 0.7": (36.9, 16.2, 72.2, 82.4, 41.7, 43.3, 48.8),
        "STEER, λ_min 0.6": (37.0, 16.3, 76.3, 82.2, 39.3, 43.5, 49.1),
        "STEER, λ_min 0.5": (34.8, 14.8, 71.3, 82.2, 37.7, 41.4, 47.0),
    },
)
