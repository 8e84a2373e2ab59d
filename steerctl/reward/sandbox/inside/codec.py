"""Plain Python values as one line of JSON, without losing what JSON cannot say: tuples, sets, any key, large integers.

    None, bool, int, float, str, list      as JSON (with NaN and Infinity)
    tuple (1, "a")                          {"t": [1, "a"]}
    set, frozenset                          {"s": [...]} in the order of their encoded texts
    dict                                    {"d": [[key, value], ...]}
    complex, bytes, large integers          {"c": [re, im]}, {"b": "hex"}, {"i": "hex"}
    anything else                           {"o": [type name, start of its repr]}, equal to nothing

Equal texts mean equal values; equal values usually have equal texts, not always (1 and 1.0, dicts in another order).
"""

from __future__ import annotations

import json
from typing import Any

TOO_LONG = '{"o":["too long",""]}'
"""Stands for a value that is longer than was asked for."""
LARGE_BITS = 1000
MAX_REPR = 200
TYPED = ("int", "float", "complex", "str", "bytes", "bool", "list", "tuple", "set", "dict", "object")


class Opaque:
    """A value that could not be sent, such as an object of a class of its own: equal to nothing, not even itself."""

    def __init__(self, kind: str, text: str) -> None:
        self.kind, self.text = kind, text

    def __eq__(self, other: object) -> bool:
        return False

    __hash__ = None  # type: ignore[assignment]  # (the usual way to say unhashable)

    def __repr__(self) -> str:
        return f"<{self.kind} {self.text}>"


def encode(value: Any) -> str:  # noqa: ANN401 (any value)
    """One line of ASCII. Never raises for a value that recursion can walk; RecursionError otherwise."""
    return json.dumps(_tagged(value), separators=(",", ":"))


def decode(text: str | bytes) -> Any:  # noqa: ANN401 (any value)
    """The value of one line. Raises ValueError, TypeError or RecursionError for what `encode` does not write."""
    return untagged(json.loads(text))


def _tagged(value: Any) -> Any:  # noqa: ANN401, C901, PLR0911, PLR0912 (one branch per type)
    if value is None or value is True or value is False:
        return value
    kind = type(value)
    if kind is str or kind is float:
        return value
    if isinstance(value, int):
        return int(value) if value.bit_length() <= LARGE_BITS else {"i": hex(value)}
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, list):
        return [_tagged(item) for item in list.__iter__(value)]
    if isinstance(value, tuple):
        return {"t": [_tagged(item) for item in tuple.__iter__(value)]}
    if isinstance(value, (set, frozenset)):
        return {"s": sorted((_tagged(item) for item in value), key=json.dumps)}
    if isinstance(value, dict):
        return {"d": [[_tagged(key), _tagged(item)] for key, item in dict.items(value)]}
    if isinstance(value, complex):
        return {"c": [value.real, value.imag]}
    if isinstance(value, (bytes, bytearray)):
        return {"b": bytes(value).hex()}
    if kind in (type, type(len)) and getattr(value, "__name__", None) in TYPED:
        return {"type": value.__name__}
    if kind.__module__ == "numpy" and getattr(value, "ndim", None) == 0:
        return _tagged(value.item())
    return {"o": [kind.__name__, repr(value)[:MAX_REPR]]}


def untagged(plain: Any) -> Any:  # noqa: ANN401, C901, PLR0911 (one branch per tag)
    """The value of what JSON gave."""
    if isinstance(plain, list):
        return [untagged(item) for item in plain]
    if not isinstance(plain, dict):
        return plain
    ((tag, held),) = plain.items()
    if tag == "t":
        return tuple(untagged(item) for item in held)
    if tag == "s":
        return {_frozen(untagged(item)) for item in held}
    if tag == "d":
        return {untagged(key): untagged(item) for key, item in held}
    if tag == "c":
        return complex(float(held[0]), float(held[1]))
    if tag == "b":
        return bytes.fromhex(held)
    if tag == "i":
        return int(held, 16)
    if tag == "type" and held in TYPED:
        return {each.__name__: each for each in _TYPES}[held]
    if tag == "o":
        return Opaque(str(held[0]), str(held[1]))
    raise ValueError(f"unknown tag {str(tag)[:20]!r}")


_TYPES: tuple[type, ...] = (int, float, complex, str, bytes, bool, list, tuple, set, dict, object)


def _frozen(item: Any) -> Any:  # noqa: ANN401 (any value)
    """A set inside a set can only have been a frozenset."""
    return frozenset(item) if isinstance(item, set) else item
