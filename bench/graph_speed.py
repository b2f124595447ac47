"""Measure what a graph costs: time beside the peers, time after an edit, memory, and growth to 200,000 lines.

`python -m bench.graph_speed FOLDER ... [--exclude tests,extensions]` reads the Python files of repositories. All times are CPU seconds of
this run, so that a busy machine does not decide; ratios between tools are what to compare with other machines. The last folder is the one
that is edited, weighed and replicated.

After every edit the graph that was updated is compared with one that is built anew. Edits come one upon the other: those of the grammar,
and textual ones that no grammar makes (rename a local, delete a statement, insert a call, repeat a function).
Peers are those of `bench.callgraph`; each gets 60 seconds, and jedi no libraries to read, which spares it most of its time. GitNexus
runs where `--gitnexus` says how.
"""

from __future__ import annotations

import ast
import os
import random
import re
import resource
import shlex
import subprocess
import sys
import time
from argparse import ArgumentParser
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from bench.callgraph import Answer, ask_about, peers_python, write_files
from bench.trace import read_sources
from graph.build import build_graph
from graph.model import NodeKind
from graph.snapshot import Snapshot
from mutator.domain import Domain
from mutator.edit import Edit, EditError
from mutator.shipped import default_grammar

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from graph.code_graph import CodeGraph

    EditMaker = Callable[[CodeGraph, random.Random], Snapshot | None]

_REPEATS = 3
_SITES = 100  # that are asked for an edit of a kind
_GROWTH_LINES = (20_000, 50_000, 100_000, 150_000, 200_000)


def count_lines(snapshot: Snapshot) -> int:
    """Count the lines of the Python files."""
    return sum(data.count(b"\n") for data in snapshot.files.values())


def cpu_s(work: Callable[[], object]) -> float:
    """Return the CPU seconds of one call."""
    start = time.process_time()
    work()
    return time.process_time() - start


# Edits


def literal_edit(graph: CodeGraph, rng: random.Random) -> Snapshot | None:
    """Put another number in the place of one."""
    numbers = [node for node in graph.of_kind(NodeKind.LITERAL) if graph.text(node).isdigit()]
    node = rng.choice(numbers)
    return _replace(graph, node.path, node.start, node.end, str(int(graph.text(node)) + 1))


def grammar_edit(graph: CodeGraph, rng: random.Random) -> Snapshot | None:
    """Make an edit of a random kind at a random site; nothing when none of some sites offers one."""
    kind = rng.choice(default_grammar().kinds)
    nodes = [node for node in graph.of_kind(kind.at) if node.path]
    for site in rng.sample(nodes, min(_SITES, len(nodes))):
        domain = kind.domain(graph, site)
        choices = list(domain.options()) if isinstance(domain, Domain) else []
        if choices:
            try:
                return default_grammar().apply(graph, Edit(kind.name, site.slot, rng.choice(choices), site.anchor))
            except EditError:
                continue
    return None


def rename_local(graph: CodeGraph, rng: random.Random) -> Snapshot | None:
    """Give a name that a function binds another name, all through the function."""
    function = rng.choice(list(graph.of_kind(NodeKind.FUNCTION)))
    text = graph.text(function)
    names = re.findall(r"^\s+(\w+) = ", text, re.MULTILINE)
    if not names:
        return None
    name = rng.choice(names)
    renamed = re.sub(rf"(?<![\w.]){name}\b", f"{name}_{rng.randrange(1000)}", text)
    return _replace(graph, function.path, function.start, function.end, renamed)


def delete_statement(graph: CodeGraph, rng: random.Random) -> Snapshot | None:
    """Put `pass` in the place of a statement."""
    node = rng.choice(list(graph.of_kind(NodeKind.STATEMENT)))
    return _replace(graph, node.path, node.start, node.end, "pass")


def insert_call(graph: CodeGraph, rng: random.Random) -> Snapshot | None:
    """Call a function of ours, or a builtin, on a line of its own before a statement."""
    node = rng.choice(list(graph.of_kind(NodeKind.STATEMENT)))
    names = [function.label for function in graph.of_kind(NodeKind.FUNCTION) if function.path == node.path]
    line = graph.snapshot.files[node.path].rfind(b"\n", 0, node.start) + 1
    indent = graph.snapshot.files[node.path][line : node.start].decode()
    if indent.strip():
        return None
    return _replace(graph, node.path, node.start, node.start, f"{rng.choice([*names, 'print'])}()\n{indent}")


def repeat_function(graph: CodeGraph, rng: random.Random) -> Snapshot | None:
    """Write a function a second time below itself, under another name."""
    node = rng.choice(list(graph.of_kind(NodeKind.FUNCTION)))
    data = graph.snapshot.files[node.path]
    indent = data[data.rfind(b"\n", 0, node.start) + 1 : node.start].decode()
    if indent.strip():
        return None
    again = graph.text(node).replace(f"def {node.label}", f"def {node.label}_{rng.randrange(1000)}", 1)
    return _replace(graph, node.path, node.end, node.end, f"\n\n{indent}{again}")


MAKERS: tuple[EditMaker, ...] = (
    grammar_edit, literal_edit, rename_local, delete_statement, insert_call, repeat_function
)  # fmt: skip


def _replace(graph: CodeGraph, path: str, start: int, end: int, text: str) -> Snapshot | None:
    """Return the snapshot with other text between two offsets; None when it is no Python then."""
    data = graph.snapshot.files[path]
    edited = data[:start] + text.encode() + data[end:]
    try:
        ast.parse(edited)
    except SyntaxError:
        return None
    return graph.snapshot.with_files({path: edited}, edit=f"{path}:{start}")


@dataclass(slots=True)
class Updates:
    """What updating a graph cost, edit by edit, and where it was not what building anew gives."""

    seconds: list[float]
    wrong: list[str]

    def __str__(self) -> str:
        """Say the median, the 90th percentile, and how many were right."""
        tenths = quantiles(self.seconds, n=10, method="inclusive")
        right = len(self.seconds) - len(self.wrong)
        return (
            f"p50 {1e3 * median(self.seconds):.1f} ms, p90 {1e3 * tenths[8]:.1f} ms, max {1e3 * max(self.seconds):.1f} ms;"
            f" {right} of {len(self.seconds)} equal a rebuild"
        )


def measure_updates(graph: CodeGraph, makers: Sequence[EditMaker], count: int, *, seed: int) -> Updates:
    """Make edits one upon the other, and update and rebuild the graph after each."""
    rng = random.Random(seed)
    updates = Updates([], [])
    for number in range(count):
        maker, edited = _edit(graph, makers, rng)
        start = time.process_time()
        updated = build_graph(edited, previous=graph)
        updates.seconds.append(time.process_time() - start)
        if updated != build_graph(edited):
            updates.wrong.append(f"edit {number}, {maker.__name__}: {edited.edit}")
        graph = updated
    return updates


def _edit(graph: CodeGraph, makers: Sequence[EditMaker], rng: random.Random) -> tuple[EditMaker, Snapshot]:
    while True:
        maker = rng.choice(makers)
        edited = maker(graph, rng)
        if edited is not None:
            return maker, edited


# Memory and growth


def memory_bytes(folder: Path, excluded: tuple[str, ...]) -> tuple[int, int]:
    """Return by how much a build makes this process grow, at its end and at its peak. Run it in a fresh process."""
    snapshot = read_sources(folder, excluded)
    before = _resident("VmRSS")
    graph = build_graph(snapshot)
    grown = _resident("VmRSS") - before, _resident("VmHWM") - before
    return grown if graph.nodes else (0, 0)


def _resident(line: str) -> int:
    status = Path("/proc/self/status").read_text()
    found = re.search(rf"{line}:\s+(\d+) kB", status)
    return int(found[1]) * 1024 if found else 0


def replicate(snapshot: Snapshot, lines: int) -> Snapshot:
    """Repeat a repository under other package names until it has so many lines."""
    tops = sorted({path.partition("/")[0].removesuffix(".py") for path in snapshot.files})
    names = re.compile(rb"\b(" + b"|".join(top.encode() for top in tops) + rb")\b")
    files: dict[str, bytes] = {}
    total = copy = 0
    while total < lines:
        copy += 1
        for path, data in snapshot.files.items():
            if total >= lines:
                break
            top, slash, rest = path.removesuffix(".py").partition("/")
            files[f"{top}_{copy}{slash}{rest}.py"] = names.sub(rb"\1_" + str(copy).encode(), data)
            total += data.count(b"\n")
    return Snapshot(files)


def measure_growth(snapshot: Snapshot) -> Iterator[tuple[int, float]]:
    """Build ever larger repositories: lines, CPU seconds."""
    for lines in _GROWTH_LINES:
        larger = replicate(snapshot, lines)
        spent = cpu_s(partial(build_graph, larger))
        yield count_lines(larger), spent


def plot_growth(growth: Sequence[tuple[int, float]], path: Path) -> None:
    """Draw seconds over lines."""
    pyplot = import_module("matplotlib.pyplot")  # only who asks for the picture needs it
    figure, axes = pyplot.subplots(figsize=(6, 4))
    axes.plot([lines for lines, _ in growth], [seconds for _, seconds in growth], marker="o")
    axes.set(xlabel="lines", ylabel="CPU seconds to build", xlim=(0, None), ylim=(0, None))
    figure.savefig(path, dpi=150)


# Peers


def measure_peers(snapshot: Snapshot, chosen: Namespace) -> Iterator[tuple[str, Answer]]:
    """Ask the peers about a repository; what counts here is their time."""
    paths: Mapping[str, Path | None] = {"PyCG": chosen.pycg, "pyan3": None, "jedi": None}
    python = peers_python(chosen.peers)
    for peer, path in paths.items():
        yield peer, ask_about(peer, snapshot.files, python=python, path=path)
    if chosen.gitnexus:
        yield "GitNexus", _gitnexus(snapshot, chosen.gitnexus)


def _gitnexus(snapshot: Snapshot, command: str) -> Answer:
    with TemporaryDirectory() as home, TemporaryDirectory() as root:
        write_files(Path(root), snapshot.files)
        subprocess.run(["git", "init", "-q"], cwd=root, check=True)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(
            [*shlex.split(command), "analyze", "--skip-fts", "--index-only"],
            cwd=root,
            env={**os.environ, "HOME": home},
            capture_output=True,
            check=False,
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return Answer(frozenset(), spent, f"exit status {done.returncode}" if done.returncode else "")


# The report


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables."""
    parser = ArgumentParser(description="What a graph costs.")
    parser.add_argument(
        "folders", type=Path, nargs="+", help="repositories; the last is edited, weighed and replicated"
    )
    parser.add_argument("--exclude", default="tests,extensions", help="top folders to leave out")
    parser.add_argument("--edits", type=int, default=30, help="how many random edits, and half as many of one literal")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-peers", action="store_true")
    parser.add_argument("--peers", type=Path, default=Path("build/bench-venv"), help="the peers' environment")
    parser.add_argument("--pycg", type=Path, help="a checkout of PyCG")
    parser.add_argument("--gitnexus", help="the command that runs GitNexus")
    parser.add_argument("--no-growth", action="store_true")
    parser.add_argument("--plot", type=Path, help="draw the growth into this file (needs matplotlib)")
    chosen = parser.parse_args(arguments)
    excluded = tuple(chosen.exclude.split(","))
    for folder in chosen.folders:
        _report_speed(folder.name, read_sources(folder, excluded), chosen)
    last = chosen.folders[-1]
    snapshot = read_sources(last, excluded)
    _report_updates(snapshot, chosen)
    with get_context("spawn").Pool(1) as pool:
        end, peak = pool.apply(memory_bytes, (last, excluded))
    lines = count_lines(snapshot)
    _write(
        f"memory         {end / lines:.0f} bytes a line, {peak / lines:.0f} at the peak ({peak / 2**20:.0f} MiB in all)"
    )
    if not chosen.no_growth:
        growth = []
        for size, seconds in measure_growth(snapshot):
            growth.append((size, seconds))
            _write(f"growth         {size:7} lines {seconds:7.2f} s {size / seconds:9.0f} lines/s")
        if chosen.plot is not None:
            plot_growth(growth, chosen.plot)


def _report_speed(name: str, snapshot: Snapshot, chosen: Namespace) -> None:
    lines = count_lines(snapshot)
    ours = median(cpu_s(lambda: build_graph(snapshot)) for _ in range(_REPEATS))
    _write(f"{name:14} {lines} lines in {ours:.2f} s, {lines / ours:.0f} lines/s")
    if chosen.no_peers:
        return
    for peer, got in measure_peers(snapshot, chosen):
        _write(f"  {peer:12} " + (got.error or f"{got.cpu_s:.2f} s, {got.cpu_s / ours:.1f} x ours"))


def _report_updates(snapshot: Snapshot, chosen: Namespace) -> None:
    graph = build_graph(snapshot)
    rebuild = cpu_s(lambda: build_graph(snapshot))
    for name, makers, count in (
        ("one literal", (literal_edit,), max(2, chosen.edits // 2)),
        ("random edits", MAKERS, max(2, chosen.edits)),
    ):
        updates = measure_updates(graph, makers, count, seed=chosen.seed)
        _write(f"{name:14} {updates}; a rebuild is {rebuild / median(updates.seconds):.0f} x the median")
        for line in updates.wrong:
            _write(f"  not equal: {line}")


def _write(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
