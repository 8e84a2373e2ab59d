r"""Other ways to write a formula, brought to LaTeX: program notation, degrees in functions, recurring decimals."""

from __future__ import annotations

import re

_PROGRAM = re.compile(r"\*|\^\(|(?<![A-Za-z\\])(?:[A-Za-z]+\s*\(|pi|oo|inf|np\.|math\.)")
_MODULE = re.compile(r"(?<![A-Za-z\\])(?:np|numpy|math|sympy|sp)\.(?=[A-Za-z])")
_NAMES = {
    "sin": "sin", "cos": "cos", "tan": "tan", "cot": "cot", "sec": "sec", "csc": "csc", "sinh": "sinh", "cosh": "cosh",
    "tanh": "tanh", "arcsin": "arcsin", "arccos": "arccos", "arctan": "arctan", "asin": "arcsin", "acos": "arccos",
    "atan": "arctan", "log": "log", "ln": "ln",
}  # fmt: skip
_FUNCTION = re.compile(rf"(?<![A-Za-z\\])({'|'.join(sorted(_NAMES, key=len, reverse=True))})(?=\s*(?:\\left\s*)?\()")
_WRAPPED = re.compile(r"(?<![A-Za-z\\])(sqrt|exp)\s*\(")
_PI = re.compile(r"(?<![A-Za-z\\])pi(?![A-Za-z])")
_INFINITY = re.compile(r"(?<![A-Za-z\\])(?:oo|inf|infinity)(?![A-Za-z])")
_STAR = re.compile(r"(?<=[\w)}\]])\s*\*\s*(?=[\w(\\])")
_TRIGONOMETRIC = re.compile(r"\\(?:sin|cos|tan|cot|sec|csc)(?![a-z])")
_DEGREES = re.compile(r"(\d+(?:\.\d+)?|(?<![A-Za-z\\])[A-Za-z]|\\[a-z]+)\s*\^\s*(?:\{\s*\\circ\s*\}|\\circ)")
_RECURRING = re.compile(r"(?<![\d.])(\d*)\.(\d*)\\(?:overline|bar|dot)\s*\{(\d+)\}")
_GOES_ON = re.compile(r"(?<![\d.])(\d*)\.(\d{0,12}?)(\d{1,6}?)\3+(?:\.{3}|\\[lc]?dots)")
_MOST_GROUPS = 8


def as_latex(text: str) -> str:
    r"""`-1 + sqrt(3)` as `-1 + \sqrt{3}`, `2**(1/4)` as `2^{1/4}`, `2*pi` as `2\cdot \pi`, `0.\overline{3}` exactly."""
    if _PROGRAM.search(text):
        text = _from_program(text)
    if "\\circ" in text and _TRIGONOMETRIC.search(text):
        text = _DEGREES.sub(r"(\\frac{\1 \\pi}{180})", text)
    return _RECURRING.sub(_exactly, text) if _RECURRING.search(text) else text


def recurring(text: str) -> str:
    """`0.333...` as 1/3: digits before an ellipsis that repeat."""
    return _GOES_ON.sub(_exactly, text) if "dots" in text or "..." in text else text


def _from_program(text: str) -> str:
    text = _MODULE.sub("", text)
    text = _FUNCTION.sub(lambda found: f"\\{_NAMES[found.group(1)]}", text)
    text = _INFINITY.sub(r"\\infty ", _PI.sub(r"\\pi ", text)).strip()
    text = text.replace("**", "^")
    for _ in range(_MOST_GROUPS):
        found = _WRAPPED.search(text)
        end = _closing(text, found.end()) if found else None
        if found is None or end is None:
            break
        head = r"\sqrt{" if found.group(1) == "sqrt" else "e^{"
        text = f"{text[: found.start()]}{head}{text[found.end() : end]}}}{text[end + 1 :]}"
    for _ in range(_MOST_GROUPS):
        start = text.find("^(")
        end = _closing(text, start + 2) if start >= 0 else None
        if end is None:
            break
        text = f"{text[:start]}^{{{text[start + 2 : end]}}}{text[end + 1 :]}"
    return _STAR.sub(r" \\cdot ", text)


def _closing(text: str, start: int) -> int | None:
    """Index of the round bracket that closes the one opened just before `start`."""
    depth = 1
    for at in range(start, len(text)):
        depth += (text[at] == "(") - (text[at] == ")")
        if depth == 0:
            return at
    return None


def _exactly(found: re.Match[str]) -> str:
    r"""A recurring decimal as a fraction: 0.1(6) = (16 - 1)/90."""
    whole, fixed, period = found.groups()
    if len(whole) + len(fixed) + len(period) > 40:
        return found.group()
    top = int(f"0{whole}{fixed}{period}") - int(f"0{whole}{fixed}")
    return rf"\frac{{{top}}}{{{'9' * len(period)}{'0' * len(fixed)}}}"
