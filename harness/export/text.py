"""How text that somebody else wrote goes into an export: whole where the format can hold it, spelled out where a reader would be fooled."""

from __future__ import annotations

from harness.report.text import printable

_FORMULA = ("=", "+", "-", "@", '"', "'")  # a spreadsheet computes what starts like this; a quote would swallow lines


def storable(text: str) -> str:
    """Keep a text as it is, but for halves of surrogate pairs, which no UTF-8 file and no database can hold."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def one_line(text: str, *, limit: int) -> str:
    """Bring a text onto one line of printable characters, cut at a length."""
    line = printable(" ".join(text.split()))
    return line if len(line) <= limit else f"{line[: limit - 1]}\N{HORIZONTAL ELLIPSIS}"


def cell(text: str, *, limit: int = 300) -> str:
    """Make a text a cell of a table that a spreadsheet may open: one line, and never a formula.

    Source: the leading apostrophe is what OWASP gives against CSV injection.
    """
    line = one_line(text, limit=limit)
    return f"'{line}" if line.startswith(_FORMULA) else line
