r"""Mechanical damage that shows in a problem's text: control characters where LaTeX macros were, rounded numbers."""

from __future__ import annotations

import re

_LOST_FORM_FEED = re.compile("\x0c")
_LOST_TAB = re.compile("\t(?:ext|imes|heta|frac|riangle|an(?![a-z]))")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f]")
_LARGEST_EXACT = 2**53


def defect(prompt: str, gold: str) -> str | None:
    r"""The first defect found, or None.

    form_feed          what is left of the `\f` of `\frac` (606 rows of DAPO-Math-17k) or of an fi ligature (31 rows)
    lost_macro         a tab and the rest of a macro that began with `\t`: `\text`, `\times`, `\triangle`, ...
    control_character  any other control character but tab and line ends
    huge_gold          an integer beyond 2^53, which may have been rounded on its way through a float
    """
    both = f"{prompt}\n{gold}"
    if _LOST_FORM_FEED.search(both):
        return "form_feed"
    if _LOST_TAB.search(both):
        return "lost_macro"
    if _CONTROL.search(both):
        return "control_character"
    digits = gold.strip().lstrip("+-").replace(",", "")
    if digits.isdigit() and digits.isascii() and (len(digits) > 4000 or int(digits) > _LARGEST_EXACT):
        return "huge_gold"
    return None
