"""The targets that ship, as the table of the README: `python -m bench.targets_table` prints it from their manifests.

Figures are those of each manifest's table [measured], which `codegraft check TARGET` holds against what it measures; the number of legal
edits is counted. A target whose manifest documents nothing has dashes.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from harness.sources import open_sources
from targets.shipped import shipped_targets

if TYPE_CHECKING:
    from pathlib import Path

    from harness.sources import Sources

HEAD = "| target | what it is | metric | baseline | sd | numbers alone | best known | headroom | a trial | edits |"


def rows() -> list[str]:
    """Return the lines of the table."""
    return [HEAD, "|---" * HEAD.count(" | ") + "|---|", *(_row(open_sources(name)) for name in shipped_targets())]


def _row(sources: Sources) -> str:
    target = sources.trainable
    arrow = "higher" if target.sign > 0 else "lower"
    metric = f"{target.metric}, {arrow} is better"
    link = f"[{target.name}](targets/{target.name})"
    n_edits = f"{sum(1 for _ in sources.code.edits()):,}"
    known = target.measured
    if known is None:
        return _line(link, _title(target.folder), metric, *["-"] * 6, n_edits)
    numbers = "-" if known.numbers is None else f"{known.numbers:.4g}"
    best = "-" if known.best is None else f"{known.best:.4g}"
    in_sd = f", {known.headroom / known.sd:.0f} sd" if known.sd else ""
    headroom = "-" if known.best is None else f"{known.headroom:.3g}{in_sd}"
    return _line(
        link, _title(target.folder), metric, f"{known.baseline:.4g}", f"{known.sd:.2g}", numbers, best, headroom,
        f"{known.wall_s:.2g} s", n_edits,
    )  # fmt: skip


def _title(folder: Path) -> str:
    """Return what the first line of a target's README says of it."""
    first = (folder / "README.md").read_text(encoding="utf-8").partition("\n")[0]
    return first.partition(":")[2].strip() or first.lstrip("# ")


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.stdout.write("\n".join([*rows(), ""]))
