"""The mathematics benchmarks: questions once each, repaired reference answers, one instruction per protocol."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, Literal

from steerctl.data import Dataset, ProblemSet
from steerctl.data._golds import Repair, is_decimal, read_repairs, repaired_by_rule, squeezed
from steerctl.data._shingles import families
from steerctl.data.presets import BenchmarkName, PresetName, asked
from steerctl.errors import DataError
from steerctl.types import Problem

EXAMPLES = "examples"
MINERVA_TOLERANCE = 1e-4
"""Relative, for decimal answers only: what STEER's graders allow everywhere."""


class Benchmark(Dataset):
    """AIME 2024 and 2025, AMC 2023, MATH500, Minerva, OlympiadBench or GSM8K, to be evaluated on."""

    kind: Literal["benchmark"] = "benchmark"
    name: BenchmarkName
    """Which one."""
    folder: str | None = None
    """Folder with the benchmark files in the schema of DAPO and verl; None: the Hugging Face hub (needs the extra
    `hub`). `examples`: a few questions of ours in the forms of each benchmark, to try things out."""
    gold: Literal["clean", "original"] = "clean"
    """Reference answers as repaired, with every accepted form, or as they were published."""
    preset: PresetName = "steer"
    """Whose instruction is put around the question."""

    def load(self) -> ProblemSet:
        """Every question once, in the order of the file. Raises DataError.

        The `info` of a problem: `question` (bare), `golds` (accepted answers, the best form first; only with clean
        golds), `gold_from` ("published", "file" or "rule"), `copies` (rows folded), `cluster` (id of the first question
        of its family, only where there is more than one), `relative_tolerance` (decimal answers of Minerva), and what
        the repaired file knows: subject, level, unit, notes.
        """
        from steerctl.data import _published  # noqa: PLC0415 (a spec is validated without loading pyarrow)

        folder = self._folder()
        questions = _published.from_hub(self.name) if folder is None else _published.from_folder(folder, self.name)
        stem = _published.FILES.get(self.name, self.name)
        repairs = read_repairs(folder, stem) if folder is not None and self.gold == "clean" else None
        first = families(each.text for each in questions)
        members = Counter(first)
        problems = []
        for index, each in enumerate(questions):
            golds, info = self._golds(each.gold, repairs, each.text)
            info |= {"question": each.text, "copies": each.copies}
            if members[first[index]] > 1:
                info["cluster"] = f"{self.name}/{first[index]}"
            prompt = asked(each.text, self.name, self.preset)
            problems.append(Problem(f"{self.name}/{index}", prompt, golds[0], self.name, info))
        return ProblemSet(problems)

    def missing_files(self) -> tuple[str, ...]:
        """The folder if it does not exist, or the file that it lacks."""
        from steerctl.data._published import FILES, file_of  # noqa: PLC0415 (as above)

        folder = self._folder()
        if folder is None or file_of(folder, self.name) is not None:
            return ()
        return (str(folder / f"{FILES.get(self.name, self.name)}.parquet") if folder.is_dir() else str(folder),)

    def _folder(self) -> Path | None:
        if self.folder == EXAMPLES:
            return Path(__file__).parents[1] / "assets" / "benchmarks"
        return None if self.folder is None else Path(self.folder).expanduser()

    def _golds(
        self, gold: str, repairs: dict[tuple[str, str], Repair] | None, question: str
    ) -> tuple[tuple[str, ...], dict[str, Any]]:
        """Accepted answers and what is known of them."""
        info: dict[str, Any] = {"gold_from": "published"}
        if self.name == "minerva" and is_decimal(gold):
            info["relative_tolerance"] = MINERVA_TOLERANCE
        if self.gold == "original":
            return (gold,), info
        if not repairs:  # (a folder without the file, or a benchmark that the file does not cover)
            golds = repaired_by_rule(gold)
            return golds, info | {"golds": golds, "gold_from": "rule" if golds != (gold,) else "published"}
        repair = repairs.get((squeezed(question), gold))
        if repair is None:
            raise DataError(
                f"{self.name}: no repaired answer for a question that begins {question[:60]!r}; the benchmark file and "
                "its repaired answers do not belong together: say gold=original, or bring both from one place"
            )
        return repair.golds, info | dict(repair.info) | {"golds": repair.golds, "gold_from": "file"}
