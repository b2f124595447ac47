"""How a report prints numbers, durations, and text that somebody else wrote."""

from __future__ import annotations

import math
import re

# Controls, zero-width and direction characters, line separators, lone surrogates: invisible, or able to show what is not there.
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ud800-\udfff\ufeff\U000e0000-\U000e007f]"
)


def printable(text: str) -> str:
    """Spell out the characters that a reader would not see: U+202E becomes ⟨U+202E⟩."""
    return _UNPRINTABLE.sub(lambda match: f"⟨U+{ord(match[0]):04X}⟩", text)


def number_text(value: float, decimals: int | None = None, *, signed: bool = False) -> str:
    """Print a number with a true minus sign, to four digits where its size or nobody asks for decimals; a dash when there is none."""
    if not math.isfinite(value):
        return "\N{EN DASH}"
    plain = decimals is not None and decimals <= 8 and abs(value) < 1e6
    text = f"{value:{'+' if signed else ''}{f'.{decimals}f' if plain else '.4g'}}"
    return text.replace("-", "\N{MINUS SIGN}")


def duration_text(seconds: float) -> str:
    """Print a duration in the unit that a person would choose."""
    name, unit = next((pair for pair in (("h", 3600), ("min", 60)) if seconds >= 2 * pair[1]), ("s", 1))
    return f"{seconds / unit:.1f} {name}"
