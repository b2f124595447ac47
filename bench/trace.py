"""Record which functions of a repository really call which, and measure predicted call edges against that.

`python bench/trace.py REPO OUT.json [--exclude tests,docs] -- script.py args` runs a program (or `-m module args`) in REPO under
`sys.setprofile` and adds what it saw to OUT.json; it needs only the standard library, so it runs in the repository's own environment.
`python -m bench.trace OUT.json ...` builds the graph of each repository and prints how much of the truth it contains.

An edge goes from the nearest function of ours on the stack to the function that starts, so a call through a library
(`nn.Module.__call__` -> `forward`) counts, and is marked.
Comprehensions count as the function around them, class bodies as the function or module around them.
Lambdas, excluded folders and `__del__` (which any frame may trigger) are left out. A generator starts when it is first resumed,
so its edge is from who iterates: an edge to a generator that was not seen says nothing. Other processes are not seen.

What stands under `if __name__ == "__main__":` runs in the script that was started and in no module that was imported, so of an edge whose
calls all stand there nothing is asked where the module was only imported (by our own positions, for the peers' edges as well). A truth
file that does not say which modules ran as scripts was written by an older version: there a module counts as one when any edge of its
guard was seen.
"""

from __future__ import annotations

import ast
import json
import os
import runpy
import sys
import threading
from argparse import ArgumentParser
from dataclasses import dataclass
from inspect import CO_GENERATOR, CO_OPTIMIZED
from pathlib import Path
from sysconfig import get_paths
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from types import CodeType, FrameType

    from graph.code_graph import CodeGraph
    from graph.snapshot import Snapshot

    Edges = frozenset[tuple[str, str]]

_COMPREHENSIONS = ("<listcomp>", "<genexpr>", "<dictcomp>", "<setcomp>")


class _Place(NamedTuple):
    """What a code object is: the name that its calls count for, and whether it is a function itself."""

    name: str
    is_function: bool
    is_generator: bool


class Tracer:
    """Collects call edges between the functions of one repository."""

    def __init__(self, root: Path, excluded: Iterable[str] = ()) -> None:
        self.root = str(root.resolve()) + os.sep
        self.excluded = tuple(excluded)
        self.edges: dict[tuple[str, str], tuple[bool, bool]] = {}
        self.functions: set[str] = set()
        self.modules: set[str] = set()
        self.scripts: set[str] = set()  # modules that ran as `__main__`
        self.generators: set[str] = set()
        self._places: dict[CodeType, _Place | None] = {}

    def profile(self, frame: FrameType, event: str, _: object) -> None:
        """Note a call; this is what `sys.setprofile` takes."""
        if event != "call":
            return
        callee = self._place(frame.f_code)
        if callee is None or not self._counts(callee.name):
            return
        if not callee.is_function:
            if frame.f_code.co_name == "<module>" and frame.f_globals.get("__name__") == "__main__":
                self.scripts.add(callee.name)
            return
        self.functions.add(callee.name)
        if callee.is_generator:
            self.generators.add(callee.name)
        caller, direct = self._caller(frame.f_back)
        if caller is None or not self._counts(caller):
            return
        was_direct, was_through = self.edges.get((caller, callee.name), (False, False))
        self.edges[caller, callee.name] = (was_direct or direct, was_through or not direct)

    def _caller(self, frame: FrameType | None) -> tuple[str | None, bool]:
        """Return the nearest place of the repository on the stack, and whether no other code lies between."""
        direct = True
        while frame is not None:
            place = self._place(frame.f_code)
            if place is not None:
                return place.name, direct
            direct = False
            frame = frame.f_back
        return None, False

    def _place(self, code: CodeType) -> _Place | None:
        if code not in self._places:
            self._places[code] = self._find_place(code)
        return self._places[code]

    def _find_place(self, code: CodeType) -> _Place | None:
        path = os.path.realpath(code.co_filename)
        if not path.startswith(self.root) or not path.endswith(".py") or "/site-packages/" in path:
            return None
        module = path[len(self.root) : -len(".py")].replace(os.sep, ".").removesuffix(".__init__")
        name = code.co_qualname
        is_function = bool(code.co_flags & CO_OPTIMIZED)
        while name.endswith(_COMPREHENSIONS):
            name, is_function = name.rpartition(".")[0].removesuffix(".<locals>"), False
        if not code.co_flags & CO_OPTIMIZED:  # a module or class body runs in a namespace of its own
            name = name.rpartition(".<locals>.")[0]
            self.modules.add(module)
        full = f"{module}.{name}".removesuffix(".").replace(".<locals>", "")
        return _Place(full, is_function, bool(code.co_flags & CO_GENERATOR))

    def _counts(self, name: str) -> bool:
        return (
            "<lambda>" not in name
            and not name.endswith(".__del__")
            and not any(name == folder or name.startswith(f"{folder}.") for folder in self.excluded)
        )

    def write(self, path: Path) -> None:
        """Write what was seen, added to what the file already holds."""
        found = json.loads(path.read_text()) if path.exists() else {}
        edges = {(caller, callee): (direct, through) for caller, callee, direct, through in found.get("edges", [])}
        for edge, (direct, through) in self.edges.items():
            before = edges.get(edge, (False, False))
            edges[edge] = (before[0] or direct, before[1] or through)
        modules = {name for name in self.modules if self._counts(name)}
        truth = {
            "root": self.root.rstrip(os.sep),
            "exclude": self.excluded,
            "edges": [[*edge, *how] for edge, how in sorted(edges.items())],
            "functions": sorted(self.functions.union(found.get("functions", ()))),
            "modules": sorted(modules.union(found.get("modules", ()))),
            "scripts": sorted(self.scripts.union(found.get("scripts", ()))),
            "generators": sorted(self.generators.union(found.get("generators", ()))),
        }
        path.write_text(json.dumps(truth, indent=0) + "\n")
        sys.stderr.write(f"{len(self.edges)} edges seen, {len(edges)} in {path}\n")


def trace(tracer: Tracer, program: list[str]) -> None:
    """Run a script, or `-m module`, as the interpreter would, and note its calls."""
    as_module = program[0] == "-m"
    sys.argv = program[1:] if as_module else program
    sys.path[0] = str(Path.cwd() if as_module else Path(program[0]).resolve().parent)
    threading.setprofile(tracer.profile)
    sys.setprofile(tracer.profile)
    try:
        if as_module:
            runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
        else:
            runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit:  # how a program ends does not change what it called
        pass
    finally:
        sys.setprofile(None)
        threading.setprofile(None)


@dataclass(frozen=True, slots=True)
class Figures:
    """How predicted call edges compare with those that were seen."""

    edges: int  # seen
    missed: tuple[tuple[str, str], ...]  # seen, not predicted
    unsure: int  # seen, predicted with `may` only
    forwards: int  # seen edges into a `forward` by way of nn.Module.__call__
    forwards_missed: int
    sure: int  # predicted with more than `may`, between functions that ran
    unseen: tuple[tuple[str, str], ...]  # of these, not seen: wrong, or merely not taken
    any_sure: int  # predicted with more than `may`, out of functions that ran, to anywhere

    @property
    def recall(self) -> float:
        """The share of the seen edges that is predicted."""
        return 1 - len(self.missed) / max(1, self.edges)

    @property
    def sure_recall(self) -> float:
        """The share that is predicted with more than `may`."""
        return 1 - (len(self.missed) + self.unsure) / max(1, self.edges)

    @property
    def forward_recall(self) -> float:
        """The same for `forward` reached from `__call__`."""
        return 1 - self.forwards_missed / max(1, self.forwards)

    @property
    def seen_share(self) -> float:
        """A lower bound of precision: what is predicted between functions that ran, and was seen."""
        return 1 - len(self.unseen) / max(1, self.sure)

    @property
    def seen_share_of_all(self) -> float:
        """The same, with edges to functions that never ran counted as wrong."""
        return (self.sure - len(self.unseen)) / max(1, self.any_sure)


def compare(
    truth: Mapping[str, Any], predicted: Mapping[str, Mapping[str, str]], guarded: Edges = frozenset()
) -> Figures:
    """Compare what a trace saw with what is predicted: caller -> callee -> confidence.

    `guarded` are the edges out of modules that only run where the module is the script.
    """
    seen = {(caller, callee): through for caller, callee, _, through in truth["edges"]}
    ran, generators = {*truth["functions"], *truth["modules"]}, set(truth["generators"])
    scripts = truth.get("scripts", {edge[0] for edge in guarded if edge in seen})
    said = {
        (caller, callee): str(confidence)
        for caller, callees in predicted.items()
        for callee, confidence in callees.items()
        if "<lambda" not in caller and "<lambda" not in callee
        and ((caller, callee) in seen or caller in scripts or (caller, callee) not in guarded)
    }  # fmt: skip
    missed = tuple(edge for edge in seen if edge not in said)
    forwards = [edge for edge, through in seen.items() if through and edge[1].endswith(".forward")]
    sure = [
        edge
        for edge, confidence in said.items()
        if confidence != "may" and edge[0] in ran and (edge in seen or edge[1] not in generators)
    ]
    between = [edge for edge in sure if edge[1] in ran]
    return Figures(
        edges=len(seen),
        missed=missed,
        unsure=sum(said.get(edge) == "may" for edge in seen),
        forwards=len(forwards),
        forwards_missed=sum(edge not in said for edge in forwards),
        sure=len(between),
        unseen=tuple(edge for edge in between if edge not in seen),
        any_sure=len(sure),
    )


def read_sources(root: Path, excluded: Iterable[str]) -> Snapshot:
    """Read the Python files of a repository, but for some of its folders."""
    # Inside, here and below: the tracer runs where codegraft is not installed.
    from graph.snapshot import python_files, read_snapshot  # noqa: PLC0415

    paths = python_files(root)
    return read_snapshot(
        root, (path for path in paths if not any(path.startswith(f"{folder}/") for folder in excluded))
    )


def predict(graph: CodeGraph) -> dict[str, dict[str, str]]:
    """Return the call edges that our graph holds."""
    from graph.export import call_graph  # noqa: PLC0415
    from graph.model import Confidence  # noqa: PLC0415

    calls = call_graph(graph, at_least=Confidence.MAY)
    return {caller: {callee: str(how) for callee, how in callees.items()} for caller, callees in calls.items()}


def guarded_edges(graph: CodeGraph) -> Edges:
    """Return the call edges out of modules whose calls all stand under `if __name__ == "__main__":`."""
    from graph.model import EdgeKind, NodeKind  # noqa: PLC0415
    from graph.query import dotted  # noqa: PLC0415

    guards = {path: _guarded_lines(file.data) for path, file in graph.files.items() if not file.error}
    inside, outside = set(), set()
    for edge in graph.edges:
        site = graph.nodes[edge.source]
        if edge.kind is EdgeKind.CALLS and guards.get(site.path):
            runner = graph.runner(site)
            if runner.kind is NodeKind.MODULE:
                found = inside if graph.line(site) in guards[site.path] else outside
                found.add((runner.slot, dotted(graph, graph.nodes[edge.target])))
    return frozenset(inside - outside)


def _guarded_lines(data: bytes) -> frozenset[int]:
    """Return the lines that only run in a script, from 1."""
    blocks = (
        node.body for node in ast.parse(data).body
        if isinstance(node, ast.If) and ast.unparse(node.test) in ("__name__ == '__main__'", "'__main__' == __name__")
    )  # fmt: skip
    return frozenset(line for body in blocks for line in range(body[0].lineno, (body[-1].end_lineno or 0) + 1))


def predict_by_peers(
    snapshot: Snapshot, environment: Path, pycg: Path | None
) -> Iterator[tuple[str, dict[str, dict[str, str]], str]]:
    """Return the call edges that the peers find between files of the repository, or what kept them from it."""
    from bench.callgraph import ask_about, peers_python  # noqa: PLC0415

    python = peers_python(environment)
    ours = {path.removesuffix(".py").partition("/")[0] for path in snapshot.files}
    libraries = Path(get_paths()["purelib"])  # jedi follows values through the libraries that are installed here
    for peer, path, limit_s in (("PyCG", pycg, 60), ("pyan3", None, 60), ("jedi", libraries, 300)):
        answer = ask_about(peer, snapshot.files, python=python, path=path, limit_s=limit_s)
        calls: dict[str, dict[str, str]] = {}
        for caller, callee in answer.edges:
            if callee.partition(".")[0] in ours:
                calls.setdefault(caller, {})[callee] = ""
        yield peer, calls, answer.error


def report(paths: Iterable[Path], *, verbose: bool, peers: Path | None, pycg: Path | None) -> None:
    """Print one line per truth file and tool; with `verbose`, also every edge that ours missed, and that was not seen."""
    from graph.build import build_graph  # noqa: PLC0415

    sys.stdout.write(
        f"{'repository':20} {'tool':6} {'edges':>6} {'recall':>7} {'sure':>6} {'forward':>12} {'seen share':>14} {'of all':>7}\n"
    )
    for path in paths:
        truth = json.loads(path.read_text())
        snapshot = read_sources(Path(truth["root"]), truth["exclude"])
        graph = build_graph(snapshot)
        guarded = guarded_edges(graph)
        figures = compare(truth, predict(graph), guarded)
        sys.stdout.write(_line(path.stem, "ours", figures))
        if verbose:
            for mark, edges in (("missed", figures.missed), ("unseen", figures.unseen)):
                sys.stdout.writelines(f"    {mark} {caller} -> {callee}\n" for caller, callee in edges)
        for tool, calls, error in predict_by_peers(snapshot, peers, pycg) if peers is not None else ():
            line = _line(path.stem, tool, compare(truth, calls, guarded))
            sys.stdout.write(f"{path.stem:20} {tool:6} {error}\n" if error else line)


def _line(name: str, tool: str, figures: Figures) -> str:
    forward = f"{figures.forward_recall:.3f} of {figures.forwards}"
    share = f"{figures.seen_share:.3f} of {figures.sure}"
    recall = f"{figures.recall:7.3f} {figures.sure_recall:6.3f}"
    return f"{name:20} {tool:6} {figures.edges:6} {recall} {forward:>12} {share:>14} {figures.seen_share_of_all:7.3f}\n"


def main(arguments: list[str]) -> None:
    """Trace a program when there is a `--`, else report on truth files."""
    if "--" not in arguments:
        parser = ArgumentParser(description="How much of what really ran the graph contains.")
        parser.add_argument("truth", type=Path, nargs="+")
        parser.add_argument(
            "--verbose", action="store_true", help="print the edges that are missed, and those not seen"
        )
        parser.add_argument(
            "--peers", type=Path, help="the environment of bench.callgraph's peers, to ask them as well"
        )
        parser.add_argument("--pycg", type=Path, help="a checkout of PyCG")
        chosen = parser.parse_args(arguments)
        report(chosen.truth, verbose=chosen.verbose, peers=chosen.peers, pycg=chosen.pycg)
        return
    at = arguments.index("--")
    own, program = arguments[:at], arguments[at + 1 :]
    excluded = own[3].split(",") if own[2:3] == ["--exclude"] else []
    tracer, out = Tracer(Path(own[0]), excluded), Path(own[1]).resolve()
    try:
        trace(tracer, program)
    finally:
        tracer.write(out)


if __name__ == "__main__":
    main(sys.argv[1:])
