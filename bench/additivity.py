"""Whether what edits gain alone adds up, in what was really measured of the landscapes that ship.

    python -m bench.additivity

What gained alone was combined, so the runs that it was picked by flatter it. Alone counts here the mean of an edit's later runs, and a
script counts where each of its edits has some. Gains are in standard deviations of the unedited target, bent as policies see them.
"""

from __future__ import annotations

from collections import defaultdict
from statistics import fmean, stdev
from typing import TYPE_CHECKING

import click

from harness.landscape.store import find_landscape, read_landscape
from harness.landscape.table import Stage
from policy.effects import bend
from targets.shipped import shipped_landscapes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from harness.landscape.table import Script, Table

LENGTHS = ((2, 2), (3, 3), (4, 6), (7, 16))  # edits, from and to
_LEAST = 5  # scripts; of fewer nothing is said


def gains_of(table: Table) -> Mapping[Script, float]:
    """Return the mean bent gain of each script of a table, of a single edit without the run that it was picked by."""
    metrics = defaultdict[tuple[str, ...], list[float]](list)
    for row in table.rows:
        if row.ok and row.stage is not Stage.SINGLES:
            metrics[row.script].append(row.metric)
    baseline, sd, sign = fmean(metrics[()]), stdev(metrics[()]), table.provenance.sign
    return {script: bend(sign * (fmean(runs) - baseline) / sd) for script, runs in metrics.items()}


def compare(gains: Mapping[Script, float]) -> Iterator[tuple[int, float, float]]:
    """Yield of each script whose edits are known alone: how many, the sum of what they gain, and what it gains."""
    for script, gain in gains.items():
        alone = [gains.get((edit,)) for edit in script]
        if len(script) > 1 and None not in alone:
            yield len(script), sum(each for each in alone if each is not None), gain


def tell(name: str, found: Sequence[tuple[int, float, float]]) -> Iterator[str]:
    """Yield a line for each group of lengths of which there is enough."""
    for low, high in LENGTHS:
        group = [(promised, measured) for n, promised, measured in found if low <= n <= high]
        if len(group) >= _LEAST:
            promised, measured = map(fmean, zip(*group, strict=True))
            edits = f"{low}" if low == high else f"{low}-{high}"
            yield f"{name:8} {edits:>4} edits, {len(group):3} scripts: the sum is {promised:5.2f}, together {measured:5.2f}"


if __name__ == "__main__":
    for target in shipped_landscapes():
        for line in tell(target, list(compare(gains_of(read_landscape(find_landscape(target))[0])))):
            click.echo(line)
