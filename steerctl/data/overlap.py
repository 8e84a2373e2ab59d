"""Which benchmark questions are in a training file: exactly, but for signs, or nearly."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, islice
from typing import Literal

from steerctl.data._shingles import Shingles, numbers, shingles_of, skeleton, words
from steerctl.data.verl import Verl
from steerctl.types import Problem

Strictness = Literal["exact", "normalised", "same", "similar"]

SIMILAR = 0.5
"""Share of a question's word 8-grams that a row must contain to be looked at."""
SAME_NUMBERS = 0.9
"""Share of a question's numbers that a row must contain to ask the same problem."""
_LEARNT_FROM, _EDGE, _COMMON, _DISTINCT = 2_000, 40, 0.05, 8
"""Rows read to learn instructions; characters that must agree; share of rows, and distinct rows, that must agree."""


@dataclass(frozen=True, slots=True)
class Overlap:
    """One benchmark question and one training row that resemble each other.

    exact       equal texts, instructions cut off
    normalised  equal letters and digits, spaces, signs and layout macros left out
    jaccard     of both sets of word 8-grams
    contained   share of the question's 8-grams that the row has
    numbers     share of the question's numbers that the row has, each as often; 1 where the question has none
    same_gold   the row's answer is one that the benchmark accepts, as text
    """

    problem_id: str
    row_id: str
    exact: bool
    normalised: bool
    jaccard: float
    contained: float
    numbers: float
    same_gold: bool

    def is_at_least(self, strictness: Strictness) -> bool:
        """Whether it counts as an overlap.

        same     normalised, or at least half of the 8-grams and nine tenths of the numbers: the same problem, perhaps
                 re-worded or asked for something else
        similar  at least half of the 8-grams: perhaps the same problem with other numbers
        """
        if strictness == "exact":
            return self.exact
        if strictness == "normalised":
            return self.normalised
        return strictness == "similar" or self.normalised or self.numbers >= SAME_NUMBERS


@dataclass(frozen=True, slots=True)
class Text:
    """A text ready to be compared, its instruction cut off."""

    id: str
    text: str
    golds: frozenset[str]
    skeleton: str
    shingles: Shingles

    @classmethod
    def of(cls, problem: Problem, instructions: Instructions) -> Text:
        """From a problem; benchmarks give the bare question in `info`."""
        known = problem.info.get("question")
        text = known if isinstance(known, str) else instructions.cut(last_user_turn(problem))
        golds = {problem.gold, *problem.info.get("golds", ())}
        return cls(
            problem.id, text, frozenset(each.strip() for each in golds), skeleton(text), shingles_of(words(text))
        )


@dataclass(frozen=True, slots=True)
class Instructions:
    """What stands before and after the questions of a file, learnt from the file: several wordings of each."""

    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()

    @classmethod
    def learn(cls, texts: Iterable[str]) -> Instructions:
        """Beginnings and ends that at least 5 percent of the distinct texts, and 8 of them, have in common."""
        distinct = list(dict.fromkeys(texts))
        turned = [text[::-1] for text in distinct]
        return cls(tuple(_shared(distinct)), tuple(text[::-1] for text in _shared(turned)))

    def cut(self, text: str) -> str:
        """The text without the first beginning and the first end that fit."""
        before = next((each for each in self.before if text.startswith(each)), "")
        text = text.removeprefix(before)
        after = next((each for each in self.after if text.endswith(each)), "")
        return text.removesuffix(after).strip()


@dataclass(frozen=True, slots=True)
class Index:
    """Benchmark questions by their 8-grams and by their letters and digits."""

    texts: tuple[Text, ...]
    by_shingle: Mapping[tuple[str, ...], Sequence[int]]
    by_skeleton: Mapping[str, Sequence[int]] = field(default_factory=dict)

    @classmethod
    def of(cls, problems: Sequence[Problem]) -> Index:
        """Of the questions of one or more benchmarks; instructions are learnt from each benchmark by itself."""
        sources: defaultdict[str, list[Problem]] = defaultdict(list)
        for problem in problems:
            sources[problem.source].append(problem)
        texts: list[Text] = []
        for own in sources.values():
            texts += map(partial(Text.of, instructions=Instructions.learn(map(last_user_turn, own))), own)
        by_shingle: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
        by_skeleton: defaultdict[str, list[int]] = defaultdict(list)
        for number, text in enumerate(texts):
            by_skeleton[text.skeleton].append(number)
            for gram in text.shingles:
                by_shingle[gram].append(number)
        return cls(tuple(texts), dict(by_shingle), dict(by_skeleton))

    def matches(self, row: Text) -> Iterator[Overlap]:
        """The questions that a row resembles."""
        shared = Counter(number for gram in row.shingles for number in self.by_shingle.get(gram, ()))
        equal = set(self.by_skeleton.get(row.skeleton, ())) if row.skeleton else set()
        for number in sorted({*shared, *equal}):
            question = self.texts[number]
            if number in equal or shared[number] >= SIMILAR * len(question.shingles):
                yield _overlap(question, row, shared[number], equal=number in equal)


def find_overlaps(problems: Sequence[Problem], rows: Iterable[Problem]) -> list[Overlap]:
    """Every question and row that share at least half of the question's word 8-grams, or all letters and digits.

    Rows are read one by one, so a training file may be of any size; 17,398 rows against 1,547 questions take seconds.
    A lower bound: translations and free paraphrases are not seen. An upper bound too: a row may use a question's text
    to ask for something else. Texts without Latin letters and numbers are compared by nothing.

    Source: our own; sizes and thresholds are those behind STEER's known overlaps (docs/benchmark-data.md).
    """
    index = Index.of(problems)
    stream = iter(rows)
    known: Sequence[Problem] = list(islice(stream, _LEARNT_FROM)) if not isinstance(rows, Sequence) else ()
    sample = rows[:: 1 + len(rows) // _LEARNT_FROM] if isinstance(rows, Sequence) else known
    instructions = Instructions.learn(map(last_user_turn, sample))
    found: list[Overlap] = []
    for row in chain(known, stream):
        found.extend(index.matches(Text.of(row, instructions)))
    return found


def training_rows(path: str, split: str = "train") -> Sequence[Problem]:
    """Every usable row of a training file or hub data set in the schema of DAPO and verl. Raises DataError."""
    return Verl(path=path, split=split, deduplicate=False, drop_conflicting_golds=False).load().problems


def overlapping(overlaps: Iterable[Overlap], strictness: Strictness = "same") -> dict[str, Overlap]:
    """The strongest overlap of each question that has one, by problem id."""
    best: dict[str, Overlap] = {}
    for each in overlaps:
        if each.is_at_least(strictness):
            known = best.get(each.problem_id)
            best[each.problem_id] = each if known is None or _strength(each) > _strength(known) else known
    return best


@dataclass(frozen=True, slots=True)
class OverlapCounts:
    """Questions of one benchmark that a training file has, by how strictly it is asked; `same_gold` of those `same`."""

    questions: int
    exact: int
    normalised: int
    half: int
    same: int
    same_gold: int
    similar: int


def count_overlaps(problems: Sequence[Problem], overlaps: Sequence[Overlap]) -> dict[str, OverlapCounts]:
    """One row of the contamination table per benchmark (`source`); `half` is a Jaccard similarity of at least ½."""
    source = {each.id: each.source for each in problems}
    found: dict[str, OverlapCounts] = {}
    for name, questions in Counter(source.values()).items():
        own = [each for each in overlaps if source.get(each.problem_id) == name]
        same = [each for each in own if each.is_at_least("same")]
        found[name] = OverlapCounts(
            questions,
            exact=_distinct(each for each in own if each.exact),
            normalised=_distinct(each for each in own if each.normalised),
            half=_distinct(each for each in own if each.jaccard >= SIMILAR),
            same=_distinct(same),
            same_gold=_distinct(each for each in same if each.same_gold),
            similar=_distinct(own),
        )
    return found


def last_user_turn(problem: Problem) -> str:
    """The question with whatever instruction the prompt puts around it."""
    users = [turn.content for turn in problem.prompt if turn.role == "user"]
    return users[-1] if users else "\n\n".join(turn.content for turn in problem.prompt)


def _overlap(question: Text, row: Text, shared: int, *, equal: bool) -> Overlap:
    asked, given = numbers(question.text), numbers(row.text)
    union = len(question.shingles) + len(row.shingles) - shared
    return Overlap(
        question.id,
        row.id,
        exact=question.text.strip() == row.text,
        normalised=equal,
        jaccard=shared / union if union else float(equal),
        contained=shared / len(question.shingles) if question.shingles else float(equal),
        numbers=(asked & given).total() / asked.total() if asked else 1.0,
        same_gold=not question.golds.isdisjoint(row.golds),
    )


def _strength(overlap: Overlap) -> tuple[bool, bool, bool, float, float]:
    same = overlap.is_at_least("same")
    return overlap.exact, overlap.normalised, same, overlap.contained, overlap.jaccard


def _distinct(overlaps: Iterable[Overlap]) -> int:
    return len({each.problem_id for each in overlaps})


def _shared(texts: Sequence[str]) -> Iterator[str]:
    """Beginnings that many texts share, longest first, each as long as all its texts agree."""
    starts = Counter(text[:_EDGE] for text in texts if len(text) >= _EDGE)
    least = max(_DISTINCT, _COMMON * len(texts))
    common = [start for start, count in starts.items() if count >= least]
    found = [_agreed([text for text in texts if text.startswith(start)]) for start in common]
    yield from sorted(found, key=len, reverse=True)


def _agreed(texts: Sequence[str]) -> str:
    """The beginning that all texts share: that of the first and the last in alphabetical order."""
    one, other = min(texts), max(texts)
    return one[: next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), len(one))]
