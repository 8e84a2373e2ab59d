"""Token n-grams as 64-bit fingerprints: mined from responses, read from a file, found in a batch."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steerctl.errors import DataError

Prints = NDArray[np.uint64]
Mask = NDArray[np.bool_]


def fingerprints(token_ids_BT: NDArray[np.integer[Any]], length: int) -> Prints:
    """Of the `length`-gram that starts at each position [B, T - length + 1]; the length itself counts.

    Source: SplitMix64's output function (Steele, Lea, Flood, OOPSLA 2014), applied to each token in turn.
    """
    ids_BT = token_ids_BT.astype(np.uint64)
    starts = max(ids_BT.shape[1] - length + 1, 0)
    prints_BT: Prints = np.full((ids_BT.shape[0], starts), length, dtype=np.uint64)
    for offset in range(length):
        prints_BT = (prints_BT ^ ids_BT[:, offset : offset + starts]) + np.uint64(0x9E3779B97F4A7C15)
        prints_BT = (prints_BT ^ (prints_BT >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        prints_BT = (prints_BT ^ (prints_BT >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        prints_BT = prints_BT ^ (prints_BT >> np.uint64(31))
    return prints_BT


def mined(responses: Iterable[NDArray[np.integer[Any]]], lengths: range, fraction: float, least: int) -> Prints:
    """The ⌈fraction⌉ of grams that most responses hold, among those that `least` or more do; none of no responses."""
    found = [np.unique(np.concatenate([fingerprints(r[None], n)[0] for n in lengths])) for r in responses]
    if not found:
        return np.zeros(0, dtype=np.uint64)
    prints_N, counts_N = np.unique(np.concatenate(found), return_counts=True)
    prints_N, counts_N = prints_N[counts_N >= least], counts_N[counts_N >= least]
    kept = ceil(fraction * len(prints_N))
    return np.sort(prints_N[np.argsort(-counts_N, kind="stable")[:kept]])


def inside(token_ids_BT: NDArray[np.integer[Any]], mask_BT: Mask, grams: Prints, lengths: range) -> Mask:
    """Where a token belongs to a gram that lies wholly within the mask [B, T]."""
    result_BT = np.zeros_like(mask_BT)
    for length in lengths:
        hit_BT = np.isin(fingerprints(token_ids_BT, length), grams)
        starts = hit_BT.shape[1]
        for offset in range(length):
            hit_BT &= mask_BT[:, offset : offset + starts]
        for offset in range(length):
            result_BT[:, offset : offset + starts] |= hit_BT
    return result_BT


def read_grams(file: str, tokenizer_file: str | None) -> list[list[int]]:
    """The grams of a JSON list, each a list of token ids, or a text, which is tokenised with and without a space ahead.

    Raises DataError, with what to do, if a file cannot be used.
    """
    try:
        entries = json.loads(Path(file).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(
            f"{file}: cannot be read as JSON ({error}); grams_file holds a list of token id lists"
        ) from None
    if not isinstance(entries, list) or not entries:
        raise DataError(f"{file}: must hold a list of grams, each a text or a list of token ids, and at least one")
    texts = [entry for entry in entries if isinstance(entry, str)]
    grams = [entry for entry in entries if not isinstance(entry, str)]
    if not all(isinstance(gram, list) and gram and all(type(i) is int and i >= 0 for i in gram) for gram in grams):
        raise DataError(f"{file}: a gram must be a text or a list of token ids, e.g. [1, 15, 7]")
    return grams + (_tokenised(texts, tokenizer_file) if texts else [])


def _tokenised(texts: Sequence[str], tokenizer_file: str | None) -> list[list[int]]:
    from tokenizers import Tokenizer  # noqa: PLC0415 (not needed for grams of token ids)

    if tokenizer_file is None:
        raise DataError("grams given as texts need tokenizer_file, the policy's tokenizer.json")
    try:
        tokenizer = Tokenizer.from_file(tokenizer_file)
    except Exception as error:  # noqa: BLE001 (the library raises nothing narrower)
        raise DataError(f"{tokenizer_file}: not a tokenizer.json ({error})") from None
    variants = [variant for text in texts for variant in (text, f" {text}")]
    encoded = [list(tokenizer.encode(variant, add_special_tokens=False).ids) for variant in variants]
    return [ids for ids in encoded if ids]
