"""How fast edits are: listed, planned, rendered and verified; against libcst's way of making one, and in memory.

    python -m bench.edit_speed FOLDER...

Milliseconds and seconds of CPU, so load on the machine does not count. An edit is planned, rendered and verified on a graph that is there;
libcst's `deep_replace` and code generation start from a module that is parsed. The ratio is taken site by site, on the same sites.
"""

from __future__ import annotations

import gc
import random
import statistics
import time
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING

import click
import libcst
from libcst.metadata import ByteSpanPositionProvider, MetadataWrapper

from bench.graph_speed import count_lines
from graph.snapshot import read_sources
from mutator.code import Code
from mutator.edit import EditError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mutator.edit import Edit

EDITS = 400
SITES = 40  # for libcst, which takes a tenth of a second each


@click.command()
@click.argument("folders", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path, file_okay=False))
@click.option("--seed", default=0, show_default=True)
def main(folders: tuple[Path, ...], seed: int) -> None:
    """Measure each repository below FOLDERS."""
    for folder in folders:
        for line in measure(folder, random.Random(seed)):
            click.echo(line)


def measure(folder: Path, rng: random.Random) -> list[str]:
    """Return the lines of one repository."""
    code = Code.of(read_sources(folder))
    lines = count_lines(code.snapshot)
    _ = code.protected
    edits: list[Edit] = []
    listing = _cpu_ms(lambda: edits.extend(code.edits()))
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    kept = list(code.edits())
    gc.collect()
    memory = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    sample = rng.sample(edits, min(EDITS, len(edits)))
    times = sorted(_cpu_ms(lambda edit=edit: _plan(code, edit)) for edit in sample)
    ratios = list(
        _ratios(code, [e for e in rng.sample(edits, len(edits)) if e.kind in ("scale-literal", "replace-operator")])
    )
    return [
        f"{folder.name}: {lines:,} lines, {len(kept):,} edits listed in {listing / 1000:.2f} s, {memory / lines:,.0f} kB per 1,000 lines",
        f"  an edit planned, rendered, verified: p50 {_quantile(times, 0.5):.2f} ms, p90 {_quantile(times, 0.9):.2f} ms",
        f"  libcst deep_replace and code generation, same {len(ratios)} sites: {statistics.median(ratios):.0f} x as long"
        if ratios
        else "  no site for libcst",
    ]


def _plan(code: Code, edit: Edit) -> None:
    try:
        code.plan(edit)
    except EditError:
        return


def _ratios(code: Code, edits: Sequence[Edit]) -> list[float]:
    """Time libcst and the mutator on the same sites."""
    modules: dict[str, tuple[libcst.Module, dict[tuple[int, int], libcst.CSTNode]]] = {}
    found: list[float] = []
    for edit in edits:
        node = code.graph.nodes[edit.site]
        if node.path not in modules:
            modules[node.path] = _spans(code.snapshot.files[node.path])
        module, spans = modules[node.path]
        old = spans.get((node.start, node.end))
        if old is not None and len(found) < SITES:
            theirs = _cpu_ms(lambda module=module, old=old: module.deep_replace(old, libcst.Name("x")).code)
            found.append(theirs / min(_cpu_ms(lambda edit=edit: code.plan(edit)) for _ in range(3)))
    return found


def _spans(data: bytes) -> tuple[libcst.Module, dict[tuple[int, int], libcst.CSTNode]]:
    wrapper = MetadataWrapper(libcst.parse_module(data), unsafe_skip_copy=True)
    spans = wrapper.resolve(ByteSpanPositionProvider)
    wanted = (libcst.BaseExpression,)
    return wrapper.module, {(s.start, s.start + s.length): n for n, s in spans.items() if isinstance(n, wanted)}


def _cpu_ms(work: Callable[[], object]) -> float:
    start = time.process_time_ns()
    work()
    return (time.process_time_ns() - start) / 1e6


def _quantile(times: Sequence[float], share: float) -> float:
    return times[min(len(times) - 1, int(share * len(times)))]


if __name__ == "__main__":
    main()
