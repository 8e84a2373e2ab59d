"""Texts as sets of word 8-grams: what nearly equal questions have in common."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

LENGTH = 8
_WORD = re.compile(r"[a-z]+|\d+(?:\.\d+)?")
_LAYOUT = re.compile(
    r"\\(?:left|right|[bB]igg?[lr]?|displaystyle|text|textit|textbf|mathrm|operatorname|quad|qquad)(?![a-zA-Z])"
)
_LETTERS = re.compile(r"[a-z0-9]+")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")

Shingles = frozenset[tuple[str, ...]]


def words(text: str) -> list[str]:
    """Lower-case runs of Latin letters, and numbers; signs, spaces and other scripts are left out."""
    return _WORD.findall(text.lower())


def shingles_of(tokens: Sequence[str]) -> Shingles:
    """All runs of 8 words; of a shorter text the whole."""
    if len(tokens) < LENGTH:
        return frozenset([tuple(tokens)]) if tokens else frozenset()
    return frozenset(zip(*(tokens[start:] for start in range(LENGTH)), strict=False))


def skeleton(text: str) -> str:
    """Latin letters and digits in lower case, without spaces, signs and macros that only change the layout."""
    return "".join(_LETTERS.findall(_LAYOUT.sub(" ", text).lower()))


def numbers(text: str) -> Counter[str]:
    """The numbers of a text with how often each occurs."""
    return Counter(_NUMBER.findall(text))


def families(texts: Iterable[str], share: float = 0.5) -> list[int]:
    """For each text the index of the first text of its family.

    Two texts are related where they share at least half of the shorter one's word 8-grams: parts of one exercise under
    one preamble, or one exercise asked twice. A family is everything that relations connect.
    """
    grams = [shingles_of(words(text)) for text in texts]
    holders: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
    parents = list(range(len(grams)))
    for index, own in enumerate(grams):
        shared = Counter(other for gram in own for other in holders[gram])
        for other, count in shared.items():
            if count >= share * min(len(own), len(grams[other])):
                _join(parents, index, other)
        for gram in own:
            holders[gram].append(index)
    return [_root(parents, index) for index in range(len(grams))]


def _root(parents: list[int], index: int) -> int:
    while parents[index] != index:
        index = parents[index]
    return index


def _join(parents: list[int], one: int, other: int) -> None:
    first, second = sorted((_root(parents, one), _root(parents, other)))
    parents[second] = first
