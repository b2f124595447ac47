"""Inject every fault, then again without the guard against it: `make faults`.

A row holds when its scenario finds nothing wrong, and its control fails when the same scenario finds something once the guard is gone.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.faults.fault import Pace, carry_out
from bench.faults.rows import ROWS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bench.faults.fault import Found, Row

_AT_ONCE = 2
_ALONE = frozenset({"1", "2"})  # rows that use the whole machine themselves


def carry_out_all(rows: Sequence[Row], pace: Pace) -> Iterator[tuple[Row, Found, Found | None, float]]:
    """Run rows and their controls. Yields: the row, what was found with and without its guard, and the seconds of both."""
    scratch = Path(tempfile.mkdtemp(prefix="codegraft-faults-"))

    def both(numbered: tuple[int, Row]) -> tuple[Row, Found, Found | None, float]:
        number, row = numbered
        began_s = time.monotonic()
        whole = carry_out(row, scratch / f"{number}", pace, without_guard=False)
        broken = carry_out(row, scratch / f"{number}-control", pace, without_guard=True) if row.guard else None
        return row, whole, broken, time.monotonic() - began_s

    numbered = [(number, row) for number, row in enumerate(rows) if os.geteuid() == 0 or not row.mounts]
    try:
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            yield from pool.map(both, [each for each in numbered if each[1].number not in _ALONE])
        yield from map(both, [each for each in numbered if each[1].number in _ALONE])
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _line(row: Row, whole: Found, broken: Found | None, seconds: float) -> str:
    held = "held" if not whole.violations else "BROKEN"
    control = "no control" if broken is None else "control fails" if broken.violations else "CONTROL HOLDS"
    return f"{row.number:>3}  {row.name:<52} {row.must:<9} {held:<7} {control:<14} {seconds:5.0f} s  {whole.tried}"


@click.command()
@click.argument("words", nargs=-1)
@click.option("--rounds", default=200, show_default=True, help="Random kills.")
@click.option("--points", default=2, show_default=True, help="Calls of each named crash point; 0: all.")
@click.option("--damages", default=100, show_default=True, help="Damages of a campaign.")
def main(words: tuple[str, ...], rounds: int, points: int, damages: int) -> None:
    """Inject the faults, only rows whose names hold one of the WORDS where there are any."""
    rows = [row for row in ROWS if not words or any(word in row.name for word in words)]
    n_held = n_failing = n_controls = n_rows = 0
    for row, whole, broken, seconds in carry_out_all(rows, Pace(points, rounds, damages)):
        n_rows += 1
        n_held += not whole.violations
        n_controls += broken is not None
        n_failing += broken is not None and bool(broken.violations)
        click.echo(_line(row, whole, broken, seconds))
        for violation in whole.violations[:5]:
            click.echo(f"       {violation}")
        if broken is not None and broken.violations and row.guard is not None:
            click.echo(f"       without {row.guard.name}: {broken.violations[0].splitlines()[0][:150]}")
    skipped = f", {len(rows) - n_rows} need root" if n_rows < len(rows) else ""
    click.echo(f"{n_held} of {n_rows} rows held, {n_failing} of {n_controls} controls failed as they should{skipped}")
    sys.exit(n_held < n_rows or n_failing < n_controls)


if __name__ == "__main__":
    main()
