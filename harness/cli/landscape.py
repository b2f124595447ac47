"""The commands of landscapes: measure one, and say what is in one."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.errors import one_line_errors
from harness.isolation import AUTO
from harness.landscape.build import Build, Progress, plan_of
from harness.landscape.journal import Journal, refuse_other
from harness.landscape.model import fit_model
from harness.landscape.show import gather, to_json, to_lines
from harness.landscape.store import find_landscape, read_landscape, write_landscape
from harness.landscape.table import Environment, provenance_of
from harness.measure import Runner
from harness.sources import open_sources
from mutator.shipped import default_grammar
from targets.manifest import TargetError

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.landscape.table import Provenance
    from harness.sources import Sources

_LATEST = 70  # characters of a script on a line of progress


@click.group()
def landscape() -> None:
    """Measure what edit scripts of a target are worth, so that policies are compared in seconds."""


@landscape.command()
@click.argument("target")
@click.option("--out", type=click.Path(path_type=Path), help="The Parquet file; landscapes/NAME.parquet by default.")
@click.option("--size", type=click.IntRange(2), default=2000, show_default=True, help="Runs of the whole design.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of the design.")
@click.option("--runs", type=click.IntRange(1), help="Start at most so many runs this time.")
@click.option("--hours", type=click.FloatRange(0, min_open=True), help="Start no run after so many hours.")
@click.option("--slots", type=click.IntRange(1), default=2, show_default=True, help="Runs at the same time.")
@one_line_errors
def build(  # noqa: PLR0913 -- the parameters of a command are its options
    target: str, out: Path | None, size: int, seed: int, runs: int | None, hours: float | None, slots: int
) -> None:
    """Run edit scripts of TARGET as a design asks for them, and write a landscape.

    The same command goes on where it was stopped, also after `kill -9`: rows stand in OUT with the ending .jsonl as they come; without that
    record it goes on from OUT. A larger --size goes on with a smaller design. The landscape is written whenever the command ends.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sources, grammar = open_sources(target), default_grammar()
    trainable = sources.trainable
    provenance = provenance_of(trainable, sources.snapshot, grammar, seed=seed, size=size)
    place = out or Path("landscapes") / f"{trainable.name}.parquet"
    record = place.with_suffix(".jsonl")
    written = read_landscape(place)[0] if place.exists() and not record.exists() else None
    if written is not None:
        refuse_other(
            place, written.provenance, provenance
        )  # before there is a record, or the next call would begin anew
    plan = plan_of(sources.unrestricted, sign=trainable.sign, seed=seed, size=size)
    with Journal(record, provenance, Environment.look(trainable.limits.threads)) as journal:
        begun = Build(sources, plan, journal)
        if written is not None:
            begun.take_over(written)
        try:
            with Runner(trainable, n_slots=slots, isolation=AUTO, announce=_say) as runner:
                complete = begun.carry_out(
                    runner, n_slots=slots, goes_on=_limit(runs, hours), announce=_reporter(provenance)
                )
            said = "complete" if complete else "stopped at the limit; the same command goes on"
        except KeyboardInterrupt:
            said = "interrupted; the same command goes on"
        table = journal.table
    click.echo(f"{said}: {len(table.rows):,} rows in {record}")
    write_landscape(place, table, fit_model(table))
    click.echo(f"landscape  {place}  (codegraft landscape show {place})")


@landscape.command()
@click.argument("name", metavar="FILE|NAME")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for other programs.")
@one_line_errors
def show(name: str, as_json: bool) -> None:
    """Say what is in a landscape: runs, noise, the best scripts, the surrogate's error, what it was made with.

    FILE|NAME is a file that `build` wrote, or the name of a landscape that ships with codegraft.
    """
    table, model = read_landscape(find_landscape(name))
    facts = gather(table, model, warnings=_differences(table.provenance))
    click.echo(json.dumps(to_json(facts)) if as_json else "\n".join(to_lines(facts)))


def _differences(provenance: Provenance) -> tuple[str, ...]:
    """Say where a table does not fit the target as it is now."""
    try:
        sources: Sources = open_sources(provenance.target)
        now = provenance_of(sources.trainable, sources.snapshot, default_grammar(), seed=0, size=0)
    except TargetError as error:
        return (f"the target is not here: {error}",)
    return tuple(f"{name} differ from those that it was measured with" for name in provenance.differences(now))


def _limit(runs: int | None, hours: float | None) -> Callable[[int], bool]:
    end_s = time.monotonic() + 3600 * hours if hours is not None else float("inf")
    return lambda n_started: (runs is None or n_started < runs) and time.monotonic() < end_s


def _reporter(provenance: Provenance) -> Callable[[Progress], None]:
    def report(progress: Progress) -> None:
        row = progress.row
        what = f"{provenance.metric} {row.metric:.5g}  seed {row.seed}" if row.ok else str(row.status)
        script = " ".join(row.script) or "unedited"
        shown = script if len(script) <= _LATEST else f"{script[:_LATEST]}..."
        click.echo(
            f"{progress.n_rows}/{provenance.size}  {row.stage}, {progress.n_left} left  {what}  {row.cpu_s:.1f} s  {shown}"
        )

    return report


def _say(line: str) -> None:
    click.echo(line, err=True)
