r"""How the Qwen2.5-Math grader reads and compares answers, for `steer_eval`.

Source: QwenLM/Qwen2.5-Math, `evaluation/parser.py` and `grader.py`, as vendored by zz-haooo/STEER b31df71. Departures:
1. formulas are read by latex2sympy2_extended alone, never by `parse_expr`, which evaluates text; 2. words for numbers
are understood up to millions.
"""

from __future__ import annotations

import re
from math import isclose
from typing import Any

_STOPS = ("</s>", "<|im_end|>", "<|endoftext|>")
_LAST_NUMBER = re.compile(r"-?\d*\.?\d+")
# From MathQA, in the order in which they are removed.
_UNITS = (
    "east", "degree", "mph", "kmph", "ft", "m sqaure", " m east", "sq m", "deg", "mile", "q .", "monkey", "prime",
    "ratio", "profit of rs", "rd", "o", "gm", "p . m", "lb", "tile", "per", "dm", "lt", "gain", "ab", "way", "west",
    "a .", "b .", "c .", "d .", "e .", "f .", "g .", "h .", "t", "a", "h", "no change", "men", "soldier", "pie", "bc",
    "excess", "st", "inches", "noon", "percent", "by", "gal", "kmh", "c", "acre", "rise", "a . m", "th", "π r 2",
    "sq", "mark", "l", "toy", "coin", "sq . m", "gallon", "° f", "profit", "minw", "yr", "women", "feet", "am", "pm",
    "hr", "cu cm", "square", "v â € ™", "are", "rupee", "rounds", "cubic", "cc", "mtr", "s", "ohm", "number", "kmph",
    "day", "hour", "minute", "min", "second", "man", "woman", "sec", "cube", "mt", "sq inch", "mp", "∏ cm ³",
    "hectare", "more", "sec", "unit", "cu . m", "cm 2", "rs .", "rs", "kg", "g", "month", "km", "m", "cm", "mm",
    "apple", "liter", "loss", "yard", "pure", "year", "increase", "decrease", "d", "less", "Surface", "litre",
    "pi sq m", "s .", "metre", "meter", "inch",
)  # fmt: skip
_REMOVE_UNITS = [re.compile(rf"(^|\W){unit}($|\W)") for unit in (*_UNITS, *(f"{unit}s" for unit in _UNITS))]
_SMALL = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_WORDS = {word: value for value, word in enumerate(_SMALL)} | {
    word: 10 * value for value, word in enumerate(_TENS, start=2)
}
_SCALES = {"hundred": 100, "thousand": 1000, "million": 1_000_000}
_REPLACED = (
    ("tfrac", "frac"), ("dfrac", "frac"), ("\\neq", "\\ne"), ("\\leq", "\\le"), ("\\geq", "\\ge"), ("\\left", ""),
    ("\\right", ""), ("\\{", "{"), ("\\}", "}"),
)  # fmt: skip
_DROPPED = ("x=", "y=", "z=", "x\\in", "y\\in", "z\\in", "x\\to", "y\\to", "z\\to")


def extract_answer(text: str) -> str:
    """The answer in the end of a response: a box, a phrase, else the last number; stripped."""
    for stop in _STOPS:
        text = text.partition(stop)[0].strip() if stop in text else text
    if "final answer is $" in text and "$. I hope" in text:
        found = text.split("final answer is $", 1)[1].split("$. I hope", 1)[0].strip()
    elif "boxed" in text:
        found = _in_box(text.split("boxed")[-1])
    elif "he answer is" in text:
        found = text.split("he answer is")[-1].strip()
    elif "答案是" in text:
        found = text.split("答案是")[1].strip().split("\n\n")[0].strip()
    else:
        numbers = _LAST_NUMBER.findall(text.replace(",", ""))
        found = numbers[-1] if numbers else ""
    found = re.sub(r"\n\s*", "", found).removeprefix(":").removesuffix(".").removesuffix("/")
    return strip(found)


def strip(text: str) -> str:
    """Typography, units, the names of variables and per cent signs removed; fractions in one form."""
    text = text.strip().replace("\n", "").rstrip(".").replace("\\!", "")
    text = re.sub(r"\\begin\{array\}\{.*?\}", r"\\begin{pmatrix}", text).replace("\\end{array}", "\\end{pmatrix}")
    text = text.replace("bmatrix", "pmatrix")
    for old, new in _REPLACED:
        text = text.replace(old, new)
    text = re.sub(r"\\text{.*?}$", "", text).strip() or text
    for unit in (*_REMOVE_UNITS, *_REMOVE_UNITS):
        text = unit.sub(r"\1\2", text) or text
    for mark in ("^{\\circ}", "^\\circ", "\\$", "$", "\\(", "\\)"):
        text = text.replace(mark, "")
    text = re.sub(r"\\text\{(.*?)\}", r"\1", _in_digits(text))
    for mark in _DROPPED:
        text = text.replace(mark, "")
    text = text.replace("\\emptyset", "{}").replace("(-\\infty,\\infty)", "\\mathbb{R}")
    text = text.replace("\\%", "").replace("%", "").replace(" .", " 0.").replace("{.", "{0.")
    text = text.replace("infinity", "\\infty")
    text = text if "\\infty" in text else text.replace("inf", "\\infty")
    text = re.sub(r"\\mbox{.*?}", "", text.replace("and", "").replace("\\mathbf", ""))
    return _numbers_and_fractions(text)


def plainly_equal(answer: str, gold: str) -> bool | None:
    """What text and numbers alone decide; None if a parser is needed."""
    if answer.strip().lower() == gold.strip().lower():
        return True
    if gold in ("A", "B", "C", "D", "E") and _choice(answer) == gold:
        return True
    one, other = _digits(answer), _digits(gold)
    if one is not None and other is not None:
        return any(isclose(reference, one, rel_tol=1e-4) for reference in (other / 100, other, other * 100))
    return None if answer else False


def math_equal(answer: str, gold: str) -> bool:
    """The whole comparison; formulas are parsed."""
    plain = plainly_equal(answer, gold)
    if plain is not None:
        return plain
    gold, answer = gold.strip(), answer.strip()
    if "pmatrix" in answer and "pmatrix" not in gold:
        inner = [part.strip("{}").replace(",", "\\") for part in re.findall(r"\{.*,.*\}", gold)]
        gold = ", ".join(f"\\begin{{pmatrix}}{part}\\end{{pmatrix}}" for part in inner)
    if _without_brackets(answer, gold) or _by_parts(answer, gold):
        return True
    one, other = answer.split("="), gold.split("=")
    if len(one) == len(other) == 2:
        left, right = (f"{side[0].strip()} - ({side[1].strip()})" for side in (one, other))
        if _symbolic(left, right) or _symbolic(f"-({left})", right):
            return True
    elif len(one) == 2 and len(one[0].strip()) <= 2 and len(other) == 1:
        return math_equal(one[1], gold) or _symbolic(answer, gold)
    elif len(other) == 2 and len(other[0].strip()) <= 2 and len(one) == 1:
        return math_equal(answer, other[1]) or _symbolic(answer, gold)
    return _symbolic(answer, gold)


def _in_box(rest: str) -> str:
    """From what follows the last "boxed": to the matching brace or the end; without a brace, to the next dollar."""
    if not rest.startswith("{"):
        return rest.partition("$")[0].strip()
    depth = 0
    for at, character in enumerate(rest):
        depth += (character == "{") - (character == "}")
        if depth == 0:
            return rest[1:at]
    return rest[1:]


def _in_digits(text: str) -> str:
    """Words for a number as digits; the text unchanged if it has none."""
    if text.isdigit() and text.isascii():
        return text.lstrip("0") or "0"
    words = [word for word in text.lower().replace("-", " ").split() if word in _WORDS or word in _SCALES]
    if not words:
        return text
    total, group = 0, 0
    for word in words:
        if word == "hundred":
            group = max(group, 1) * 100
        elif word in _SCALES:
            total, group = total + max(group, 1) * _SCALES[word], 0
        else:
            group += _WORDS[word]
    return str(total + group)


def _numbers_and_fractions(text: str) -> str:
    if "j" in text and "i" not in text:
        text = text.replace("j", "i")
    text = re.sub(r"(\d+)\.0*([^\d])", r"\1\2", text)
    text = re.sub(r"(\d+)\.0*$", r"\1", text)
    text = f"0{text}" if text.startswith(".") else text
    sides = text.split("=")
    text = sides[1] if len(sides) == 2 and len(sides[0]) <= 2 else text
    text = re.sub(r"\\sqrt(\w+)", r"\\sqrt{\1}", text).replace(" ", "")
    text = re.sub(r"\\frac([^{])([^{])", r"\\frac{\1}{\2}", text)
    text = re.sub(r"\\frac([^{])(?=\{)", r"\\frac{\1}", text)
    quotient = re.fullmatch(r"(-?\d+)/(-?\d+)", text)
    return rf"\frac{{{quotient[1]}}}{{{quotient[2]}}}" if quotient else text


def _choice(answer: str) -> str:
    answer = answer.strip("\n").rstrip(".").rstrip("/").strip(" ").lstrip(":")
    letters = re.findall(r"\b(A|B|C|D|E)\b", answer.upper())
    return str(letters[-1]) if letters else answer.strip().strip(".").rstrip("/")


def _digits(text: str) -> float | None:
    """A number without its commas; with a per cent sign, a hundredth of it."""
    text = text.replace(",", "")
    for candidate, scale in ((text, 1.0), (text.removesuffix("%").removesuffix("\\"), 0.01)):
        try:
            return float(candidate) * scale
        except ValueError:
            if not text.endswith("%"):
                return None
    return None


def _without_brackets(answer: str, gold: str) -> bool:
    square = answer.startswith("[") and answer.endswith("]") and not gold.startswith("(")
    if square or (answer.startswith("(") and answer.endswith(")") and not gold.startswith("[")):
        answer, gold = answer.strip("[]()"), gold.strip("[]()")
    one, other = (re.sub(r"[{}()]", "", side).lower() for side in (answer, gold))
    return one == other


def _by_parts(answer: str, gold: str) -> bool:
    """Tuples and intervals by their parts, whatever their brackets; matrices by their entries."""
    if re.match(r"[(\[].+[)\]]", answer) and re.match(r"[(\[].+[)\]]", gold):
        ours, theirs = answer[1:-1].split(","), gold[1:-1].split(",")
        if len(ours) == len(theirs) and all(map(math_equal, ours, theirs)):
            return True
    matrix = re.compile(r"\\begin\{[pb]matrix\}(.*)\\end\{[pb]matrix\}", re.DOTALL)
    one, other = matrix.fullmatch(answer), matrix.fullmatch(gold)
    if one is None or other is None:
        return False
    rows = [[line.split("&") for line in side[1].split("\\\\") if line.strip()] for side in (one, other)]
    if [len(row) for row in rows[0]] != [len(row) for row in rows[1]]:
        return False
    return all(math_equal(a, b) for ours, theirs in zip(*rows, strict=True) for a, b in zip(ours, theirs, strict=True))


def _symbolic(one: str, other: str) -> bool:
    """Equal as formulas, as equations, or as numbers within 1e-4; whatever cannot be computed is unequal."""
    from sympy import N, simplify  # type: ignore[import-untyped]  # noqa: PLC0415 (SymPy ships no types)

    left, right = _formula(one), _formula(other)
    if isinstance(left, str) or isinstance(right, str):  # SymPy evaluates text that meets an expression
        return str(left) == str(right)
    tests = (
        lambda: str(left) == str(right) or left == right,
        lambda: left.equals(right) or simplify(left - right) == 0,
        lambda: abs(left.lhs - left.rhs).equals(abs(right.lhs - right.rhs)),
        lambda: isclose(float(N(right)), float(N(left)), rel_tol=1e-4),
        lambda: left.shape == right.shape and left.applyfunc(_rounded).equals(right.applyfunc(_rounded)),
    )
    return any(_holds(test) for test in tests)


def _rounded(entry: Any) -> Any:  # noqa: ANN401 (whatever SymPy parsed)
    return round(entry, 3)


def _formula(text: str) -> Any:  # noqa: ANN401 (whatever SymPy parsed)
    from latex2sympy2_extended import latex2sympy  # noqa: PLC0415
    from sympy import Basic, MatrixBase  # noqa: PLC0415

    for form in (text.replace("\\\\", "\\"), text) if "{,}" not in text else ():  # which the original cannot read
        try:
            found = latex2sympy(form).doit()
            return found if isinstance(found, Basic | MatrixBase) else text
        except Exception:  # noqa: BLE001, S112 (untrusted text: what cannot be read is compared as text)
            continue
    return text


def _holds(test: Any) -> bool:  # noqa: ANN401 (a function without arguments)
    try:
        return bool(test())
    except Exception:  # noqa: BLE001 (a text, a matrix, an interval: not equal in this way)
        return False
