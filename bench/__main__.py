"""Measure graph and edits against `ast.parse` of the same sources, and a trial's overhead against its training.

It needs nothing that is not in the checkout: the sources are those of bytelm, and, for the graph, our own floors graph/ and mutator/.
"""

from __future__ import annotations

import ast
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import click

from bench.graph_speed import MAKERS, count_lines, literal_edit, measure_updates
from bench.trace import read_sources
from graph.build import build_graph
from harness.measure import Runner
from harness.sources import open_sources
from mutator.shipped import default_grammar

if TYPE_CHECKING:
    from collections.abc import Callable

_REPEATS = 7
_LEFT_OUT = ("tests", "bench", "build", "harness", "policy", "targets")  # what stays is graph/ and mutator/
_EDITS = 10


def _cpu_s(work: Callable[[], object]) -> float:
    """Return the median CPU seconds of a call."""
    spent = []
    for _ in range(_REPEATS):
        start = time.process_time()
        work()
        spent.append(time.process_time() - start)
    return median(spent)


def _measure_own_sources() -> None:
    """Print what the graph of our own sources costs: per line, and per edit."""
    snapshot = read_sources(Path(__file__).parent.parent, _LEFT_OUT)
    graph, k_lines = build_graph(snapshot), count_lines(snapshot) / 1000
    parse = _cpu_s(lambda: [ast.parse(data) for data in snapshot.files.values()])
    build = _cpu_s(lambda: build_graph(snapshot))
    click.echo(
        f"own sources    {1e3 * parse / k_lines:.1f} ms CPU per 1,000 lines to ast.parse, {1e3 * build / k_lines:.1f} ms to build"
    )
    click.echo(
        f"               {k_lines / build * 1000:,.0f} lines/s, {build / parse:.1f} x ast.parse, of {1000 * k_lines:,.0f} lines"
    )
    click.echo(f"one literal    {measure_updates(graph, (literal_edit,), _EDITS, seed=0)}")
    click.echo(f"random edits   {measure_updates(graph, MAKERS, _EDITS, seed=0)}")


def main() -> None:
    """Print one line per cost."""
    _measure_own_sources()
    sources = open_sources("bytelm")
    graph, files = sources.graph, [data for path, data in sources.snapshot.files.items() if path.endswith(".py")]
    parse = _cpu_s(lambda: [ast.parse(data) for data in files])
    lines = sum(data.count(b"\n") for data in files)
    click.echo(f"ast.parse      {lines} lines of bytelm in {1e3 * parse:.1f} ms CPU = 1")
    click.echo(f"build_graph    {_cpu_s(lambda: build_graph(sources.snapshot)) / parse:.1f} x")

    edits = tuple(default_grammar().edits(graph, protected=sources.protected))
    click.echo(
        f"list edits     {_cpu_s(lambda: tuple(default_grammar().edits(graph, protected=sources.protected))) / parse:.2f} x"
    )
    plan = _cpu_s(lambda: [default_grammar().plan(graph, edit, protected=sources.protected) for edit in edits]) / len(
        edits
    )
    click.echo(f"plan an edit   {plan / parse:.2f} x (render and verify; {len(edits)} legal edits)")
    child = default_grammar().apply(graph, edits[0], protected=sources.protected)
    click.echo(f"update graph   {_cpu_s(lambda: build_graph(child, previous=graph)) / parse:.1f} x")

    target = open_sources("toy").target
    if target is not None:
        with Runner(target) as runner:
            snapshot = open_sources("toy").snapshot
            walls, trained = [], []
            for seed in range(_REPEATS):
                start = time.monotonic()
                trained.append(runner.run(snapshot, seed).wall_s)
                walls.append(time.monotonic() - start)
        click.echo(f"a toy trial    {median(walls):.2f} s, of which training {median(trained):.2f} s")


if __name__ == "__main__":
    main()
