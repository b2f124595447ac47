"""Measure the call graph on PyCG's micro-benchmark, beside the tools that others use.

`python -m bench.callgraph FOLDER` takes a checkout of github.com/vitsalis/PyCG and compares, for every case, all edges of its
`callgraph.json` (builtins and externals included) with ours and with each peer's. Ours are those that `codegraft graph FOLDER --calls`
prints: what is only possible (`may`) is left out. A case is exact when no edge is missing and none is
spurious.

The peers of `peers-callgraph.txt` are installed into an environment of their own and run there, each case in a process of its own.
PyCG runs from the checkout (its package imports itself by a name that it does not install), Jarvis from a checkout of its own. Names
are brought to PyCG's form where they differ in form only. jedi answers where a name leads, so the calls around it are ours: a class
runs its `__init__`, an instance its `__call__` or `forward`.
A peer that is not there shows what was measured earlier, and its row says so.

Source: Salis et al. 2021 (arXiv:2103.00587); the repository has 119 cases of 18 language features.
"""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import time
import venv
from argparse import ArgumentParser, Namespace
from collections import Counter
from contextlib import redirect_stdout
from dataclasses import dataclass
from importlib import import_module
from multiprocessing import TimeoutError as PoolTimeout
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    Edges = frozenset[tuple[str, str]]

_PEERS_FILE = Path(__file__).with_name("peers-callgraph.txt")
LIMIT_S = 60  # wall seconds that a peer has for a case or a repository

# Imported before the cases, so that their times are of the analysis. PyCG and Jarvis use importlib.abc and .util and import neither.
_IMPORTED = {
    "PyCG": ("importlib.abc", "importlib.util", "pycg.pycg", "pycg.formats"),
    "Jarvis": ("importlib.abc", "importlib.util", "jarvis", "formats"),
    "pyan3": ("pyan.analyzer",),
    "jedi": ("jedi",),
}

# Measured earlier (Nov 2026, another machine): 113 cases without externals, internal edges only, so not quite the same question.
_EARLIER = {
    "PyCG": "precision 0.978 recall 0.930 exact 100/113",
    "Jarvis": "precision 0.941 recall 0.914 exact 93/113",
    "pyan3": "precision 0.688 recall 0.734 exact 47/113",
    "jedi": "precision 0.994 recall 0.701 exact 63/113",
    "GitNexus": "precision 0.904 recall 0.463 exact 37/113",
}


@dataclass(frozen=True, slots=True)
class Case:
    """One language feature: a folder of sources, and the calls that they make."""

    name: str
    folder: Path
    expected: Edges


@dataclass(frozen=True, slots=True)
class Answer:
    """What a tool says of one case."""

    edges: Edges
    cpu_s: float
    error: str = ""


def read_cases(checkout: Path) -> tuple[Case, ...]:
    """Read the cases of a checkout of PyCG, or of a folder laid out like its `snippets`."""
    snippets = checkout / "micro-benchmark" / "snippets"
    root = snippets if snippets.is_dir() else checkout
    found = sorted(root.glob("*/*/callgraph.json"))
    return tuple(
        Case(path.parent.relative_to(root).as_posix(), path.parent, edges_of(json.loads(path.read_text())))
        for path in found
    )


def edges_of(calls: Mapping[str, Iterable[str]]) -> Edges:
    """Flatten caller -> callees."""
    return frozenset((caller, callee) for caller, callees in calls.items() for callee in callees)


def ours(folder: Path) -> Edges:
    """Return the edges of our graph of a folder that are more than possible."""
    # Inside: the peers' environment runs this file, too, and has no codegraft.
    from graph.build import build_graph  # noqa: PLC0415
    from graph.export import call_graph  # noqa: PLC0415
    from graph.model import Confidence  # noqa: PLC0415
    from graph.snapshot import python_files, read_snapshot  # noqa: PLC0415

    graph = build_graph(read_snapshot(folder, python_files(folder)))
    return edges_of(call_graph(graph, externals=True, at_least=Confidence.INFERRED))


# Peers: each takes a folder, in a process of its own whose working directory it is.


def _entries(folder: Path) -> list[str]:
    """Name the files that an analysis starts from: main.py of a case, every file of a repository."""
    is_case = (folder / "callgraph.json").exists()
    return [str(path) for path in ([folder / "main.py"] if is_case else sorted(folder.rglob("*.py")))]


def _pycg(folder: Path) -> Edges:
    # Their import hooks clear what is imported, so the writer is read first.
    tool, writer = import_module("pycg.pycg"), import_module("pycg.formats")
    generator = tool.CallGraphGenerator(_entries(folder), str(folder), -1, "call-graph")
    generator.analyze()
    return edges_of(writer.Simple(generator).generate())


def _jarvis(folder: Path) -> Edges:
    tool, writer = import_module("jarvis"), import_module("formats")
    generator = tool.CallGraphGenerator(_entries(folder), str(folder), decy=False, precision=True, moduleEntry=None)
    generator.analyze()
    return edges_of(writer.Simple(generator).generate())


def _pyan(folder: Path) -> Edges:
    paths = [str(path) for path in sorted(folder.rglob("*.py"))]
    visitor = import_module("pyan.analyzer").CallGraphVisitor(paths, root=str(folder))
    nodes = [node for nodes in visitor.nodes.values() for node in nodes]
    initializers = {node.get_name() for node in nodes if node.name == "__init__" and node.defined}
    edges: set[tuple[str, str]] = set()
    for caller, callees in visitor.uses_edges.items():
        for callee in callees:
            kind, name = callee.flavor.value, callee.get_name()
            if f"{name}.__init__" in initializers and caller.flavor.value != "class":  # a class uses its bases
                edges.add((_plain_pyan(caller.get_name()), f"{name}.__init__"))
            elif ("method" in kind or kind == "function") and callee.defined:
                edges.add((_plain_pyan(caller.get_name()), _plain_pyan(name)))
    return frozenset(edges)


def _plain_pyan(name: str) -> str:
    """Name lambdas as PyCG does, and comprehensions as what is around them."""
    parts = name.split(".")
    kept: list[str] = []
    for part, number in zip(parts, [*parts[1:], ""], strict=True):
        if part == "lambda" and number.isdigit():
            kept.append(f"<lambda{int(number) + 1}>")
        elif not part.isdigit() and part not in ("listcomp", "genexpr", "dictcomp", "setcomp"):
            kept.append(part)
    return ".".join(kept)


def _jedi(folder: Path) -> Edges:
    jedi = import_module("jedi")
    libraries = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    project = jedi.Project(folder, smart_sys_path=False, added_sys_path=[str(folder), *libraries])
    found = {path: _Calls(_module(path, folder)) for path in sorted(folder.rglob("*.py"))}
    for path, calls in found.items():
        calls.visit(ast.parse(path.read_bytes()))
    defined = {(path, *at): name for path, calls in found.items() for at, name in calls.defined.items()}
    methods = frozenset(defined.values())
    edges: set[tuple[str, str]] = set()
    for path, calls in found.items():
        script = jedi.Script(path=path, project=project)
        for caller, line, column in calls.calls:
            try:
                edges |= {
                    (caller, callee)
                    for value in script.infer(line, column)
                    for callee in _jedi_callees(value, defined, methods)
                }
            except Exception as error:  # noqa: BLE001  # it raises on some libraries: this call stays unanswered
                sys.stderr.write(f"{path}:{line}: {error}\n")
    return frozenset(edges)


def _jedi_callees(
    value: Any,  # noqa: ANN401  # a Name of jedi, which is not installed here
    defined: Mapping[tuple[Path, int, int], str],
    methods: frozenset[str],
) -> Iterator[str]:
    """Say what runs when a value is called."""
    own = defined.get((value.module_path, value.line, value.column))
    name = own or value.full_name or ""
    if value.module_name == "builtins":
        owner, _, method = name.removeprefix("builtins.").rpartition(".")
        yield f"<**Py{owner.title()}**>.{method}" if owner else f"<builtin>.{method}"
    elif value.type == "function":
        yield name
    elif value.type in ("class", "instance"):
        wanted = ("__init__",) if value.type == "class" else ("__call__", "forward")
        yield from [f"{name}.{method}" for method in wanted if f"{name}.{method}" in methods][:1]


def _module(path: Path, folder: Path) -> str:
    return path.relative_to(folder).with_suffix("").as_posix().replace("/", ".").removesuffix(".__init__")


class _Calls(ast.NodeVisitor):
    """The calls of a module (caller, line and column of the name that is called), and where functions and lambdas are defined."""

    def __init__(self, module: str) -> None:
        self.calls: list[tuple[str, int, int]] = []
        self.defined: dict[tuple[int, int], str] = {}  # position of the name, or of the word `lambda`
        self._runner = self._scope = module
        self._lambdas: Counter[str] = Counter()

    def visit_Call(self, node: ast.Call) -> None:
        self._called(node.func)
        self.generic_visit(node)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self.visit(node.args)
        self._lambdas[self._scope] += 1
        self._inside((node.lineno, node.col_offset), f"<lambda{self._lambdas[self._scope]}>", [node.body])

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        for decorator in node.decorator_list:
            self._called(decorator)
            self.visit(decorator)
        self.visit(node.args)
        word = "async def " if isinstance(node, ast.AsyncFunctionDef) else "def "
        self._inside((node.lineno, node.col_offset + len(word)), node.name, node.body)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self.visit_FunctionDef(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        around, self._scope = self._scope, f"{self._scope}.{node.name}"
        self.generic_visit(node)
        self._scope = around

    def _called(self, callee: ast.expr) -> None:
        if isinstance(callee, ast.Name | ast.Attribute):
            self.calls.append((self._runner, callee.end_lineno or 0, (callee.end_col_offset or 1) - 1))

    def _inside(self, at: tuple[int, int], name: str, body: Sequence[ast.AST]) -> None:
        around = self._scope, self._runner
        self._scope = self._runner = self.defined[at] = f"{self._scope}.{name}"
        for child in body:
            self.visit(child)
        self._scope, self._runner = around


PEERS: dict[str, Callable[[Path], Edges]] = {"PyCG": _pycg, "Jarvis": _jarvis, "pyan3": _pyan, "jedi": _jedi}


def answer(tool: Callable[[Path], Edges], folder: Path) -> Answer:
    """Ask a tool about one case; what it raises is part of the answer."""
    os.chdir(folder)
    start = time.process_time()
    try:
        with redirect_stdout(sys.stderr):
            edges = tool(folder)
    except Exception as error:  # noqa: BLE001  # a peer may raise anything, and that is a result
        return Answer(frozenset(), time.process_time() - start, f"{type(error).__name__}: {error}")
    return Answer(edges, time.process_time() - start)


def serve(peer: str, limit_s: float, folders: Sequence[str]) -> None:
    """Answer for a peer, one line of JSON per folder; this runs in the peers' environment."""
    for name in _IMPORTED[peer]:
        import_module(name)
    context = get_context("fork")  # what a peer has imported is shared, what it has learned is not
    for folder in folders:
        with context.Pool(1) as pool:
            task = pool.apply_async(answer, (PEERS[peer], Path(folder)))
            try:
                got = task.get(limit_s)
            except PoolTimeout:
                got = Answer(frozenset(), limit_s, f"over {limit_s:.0f} s")
        sys.stdout.write(json.dumps([sorted(got.edges), got.cpu_s, got.error]) + "\n")
        sys.stdout.flush()


def peers_python(folder: Path) -> Path:
    """Return the interpreter of the peers' environment, made on first use."""
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--requirement", _PEERS_FILE], check=True)
    return python


def ask(
    peer: str, folders: Sequence[Path], *, python: Path, path: Path | None = None, limit_s: float = LIMIT_S
) -> list[Answer]:
    """Run a peer on folders. `path` is added to what it can import. No answers mean that it does not run here at all."""
    environment = {**os.environ, "PYTHONPATH": str(path or "")}
    done = subprocess.run(
        [python, __file__, "--serve", peer, str(limit_s)],
        input="\n".join(str(folder.resolve()) for folder in folders),
        text=True,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return [Answer(frozenset((a, b) for a, b in edges), cpu_s, error) for edges, cpu_s, error in lines]


def ask_about(
    peer: str, files: Mapping[str, bytes], *, python: Path, path: Path | None = None, limit_s: float = LIMIT_S
) -> Answer:
    """Run a peer on a whole repository, given by its files."""
    with TemporaryDirectory() as folder:
        write_files(Path(folder), files)
        answers = ask(peer, [Path(folder)], python=python, path=path, limit_s=limit_s)
    return answers[0] if answers else Answer(frozenset(), 0.0, "does not run here")


def write_files(root: Path, files: Mapping[str, bytes]) -> None:
    """Write files below a folder."""
    for path, data in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)


def row(tool: str, cases: Sequence[Case], answers: Sequence[Answer]) -> str:
    """Say in one line how a tool did."""
    pairs = [(case.expected, got.edges) for case, got in zip(cases, answers, strict=True)]
    hit, said, true = (sum(map(len, sets)) for sets in zip(*((e & g, g, e) for e, g in pairs), strict=True))
    exact, complete, sound = (
        sum(map(f, pairs)) for f in (lambda p: p[0] == p[1], lambda p: p[1] <= p[0], lambda p: p[0] <= p[1])
    )
    failed = sum(bool(got.error) for got in answers)
    note = f"  ({failed} cases failed)" if failed else ""
    return (
        f"{tool:12} {hit / max(1, said):9.3f} {hit / max(1, true):9.3f} {exact:8} {complete:12} {sound:11}"
        f" {sum(got.cpu_s for got in answers):8.2f}{note}"
    )


def details(cases: Sequence[Case], answers: Sequence[Answer]) -> Iterator[str]:
    """Say which edges a tool misses, and which it makes up."""
    for case, got in zip(cases, answers, strict=True):
        if got.error:
            yield f"  {case.name}: {got.error}"
        for mark, edges in (("missing ", case.expected - got.edges), ("spurious", got.edges - case.expected)):
            for caller, callee in sorted(edges):
                yield f"  {case.name}: {mark} {caller} -> {callee}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print one line per tool."""
    parser = ArgumentParser(description="PyCG's micro-benchmark: our call graph beside its peers'.")
    parser.add_argument("checkout", type=Path, help="a checkout of github.com/vitsalis/PyCG")
    parser.add_argument("--verbose", action="store_true", help="print the missing and spurious edges of ours")
    parser.add_argument("--show", default="ours", help="the tool that --verbose prints")
    parser.add_argument(
        "--peers", type=Path, default=Path("build/bench-venv"), help="the peers' environment, made if missing"
    )
    parser.add_argument("--no-peers", action="store_true", help="ours alone")
    parser.add_argument("--jarvis", type=Path, help="the folder of a checkout of Jarvis that holds jarvis_cli.py")
    chosen = parser.parse_args(arguments)
    write = sys.stdout.write
    cases = read_cases(chosen.checkout.resolve())
    write(f"{len(cases)} cases, {sum(len(case.expected) for case in cases)} edges\n")
    write(
        f"{'tool':12} {'precision':>9} {'recall':>9} {'exact':>8} {'no spurious':>12} {'no missing':>11} {'CPU s':>8}\n"
    )
    for tool, answers in _answers(cases, chosen):
        write(
            (row(tool, cases, answers) if answers else f"{tool:12} not here; measured earlier: {_EARLIER[tool]}") + "\n"
        )
        if chosen.verbose and tool == chosen.show:
            sys.stdout.writelines(f"{line}\n" for line in details(cases, answers))


def _answers(cases: Sequence[Case], chosen: Namespace) -> Iterator[tuple[str, Sequence[Answer]]]:
    """Ask us and the peers; nothing from a peer that is not there."""
    back = Path.cwd()
    mine = [answer(ours, case.folder) for case in cases]
    os.chdir(back)
    yield "ours", mine
    if chosen.no_peers:
        return
    python = peers_python(chosen.peers)
    paths = {"PyCG": chosen.checkout.resolve(), "Jarvis": chosen.jarvis}  # these two are no packages that install
    for tool in _EARLIER:
        here = tool in PEERS
        yield tool, ask(tool, [case.folder for case in cases], python=python, path=paths.get(tool)) if here else ()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        sys.path.pop(0)  # bench/ holds names of the standard library
        serve(sys.argv[2], float(sys.argv[3]), sys.stdin.read().splitlines())
    else:
        main()
