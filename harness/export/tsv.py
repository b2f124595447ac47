"""results.tsv in the five columns of karpathy/autoresearch, baseline first: its notebook, and any spreadsheet, opens it.

Facts of that format: the hash has 7 digits, the metric 6 decimals, memory is in units of 2^30 bytes with one decimal, and a row is
keep, discard or crash. A crash has 0.000000 and 0.0, and readers leave it out of the curve. So whatever has no metric is a crash here,
a stopped or a repeated program too, and its description says what it was; what is not proven is a discard.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from harness.export.text import cell, one_line
from harness.values import Decision
from mutator.edit import print_script

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from harness.export.history import Entry, History

_GIB = 1 << 30
_NO_COMMIT = "0" * 40  # git's name for none


def write(history: History, path: Path) -> None:
    """Write the table."""
    path.write_text("".join(f"{line}\n" for line in _lines(history)), encoding="utf-8", newline="\n")


def _lines(history: History) -> Iterator[str]:
    yield "\t".join(("commit", cell(history.record.settings.metric), "memory_gb", "status", "description"))
    for entry in history.settled:
        yield "\t".join(_row(entry))


def _row(entry: Entry) -> tuple[str, ...]:
    commit, description = cell((entry.commit or _NO_COMMIT)[:7]), cell(_describe(entry))
    if not math.isfinite(entry.metric):
        return commit, "0.000000", "0.0", "crash", description
    memory_gb = max(outcome.peak_rss_bytes for outcome in entry.outcomes) / _GIB
    kept = entry.verdict is None or entry.verdict.decision is Decision.KEEP
    return cell(commit), f"{entry.metric:.6f}", f"{memory_gb:.1f}", "keep" if kept else "discard", description


def _describe(entry: Entry) -> str:
    if entry.verdict is None:
        said = "".join(f": {o.status}: {o.detail}" for o in entry.outcomes if not o.ok)
        return f"baseline{said}"
    return f"{one_line(print_script(entry.script, anchors=False), limit=160)}: {entry.verdict.reason}"
