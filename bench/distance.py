"""Measure what one distance costs after one edit, beside tree edit distance on the one function that the edit changed.

`python -m bench.distance FOLDER ...` edits a literal of each repository again and again and reads its features anew. All times are CPU
seconds of this run; the ratios are what to compare with other machines. The last folder gives the function for the peers: the trees of its
syntax before and after, at unit cost. That is the peers' favour: ours looks at the whole repository, and is 0 for renames.

The peers of `peers-distance.txt` are installed into an environment of their own and run there; each gets 60 seconds.

Source: Pawlik and Augsten 2016, APTED; Zhang and Shasha 1989, zss.
"""

from __future__ import annotations

import ast
import json
import random
import subprocess
import sys
import time
import venv
from argparse import ArgumentParser
from importlib import import_module
from pathlib import Path
from statistics import median, quantiles
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from graph.snapshot import Snapshot

    _Tree = list[Any]  # label, then the children: what JSON can carry

_PEERS_FILE = Path(__file__).with_name("peers-distance.txt")
_LIMIT_S = 60
_EDITS = 60
_NODES = (100, 250)  # of a function that the peers can do: their time grows with the square and the cube of it


def measure_edits(snapshot: Snapshot) -> tuple[list[float], list[tuple[bytes, bytes]]]:
    """Return the CPU seconds of reading features and displacement after each edit, and the files before and after."""
    # Inside: the peers' environment runs this file, too, and has no codegraft.
    from bench.graph_speed import literal_edit  # noqa: PLC0415
    from graph.build import build_graph  # noqa: PLC0415
    from graph.features import displacement, features  # noqa: PLC0415

    graph, rng, base = build_graph(snapshot), random.Random(0), features(snapshot.files)
    spent, pairs = [], []
    while len(spent) < _EDITS:
        edited = literal_edit(graph, rng)
        if edited is None:
            continue
        start = time.process_time()
        displacement(features(edited.files), base)
        spent.append(time.process_time() - start)
        path = next(path for path, data in edited.files.items() if data != snapshot.files[path])
        pairs.append((snapshot.files[path], edited.files[path]))
    return spent, pairs


def functions(before: bytes, after: bytes) -> Iterator[tuple[ast.AST, ast.AST]]:
    """Walk the functions that an edit changed and that the peers can do."""
    for old, new in zip(_functions(before), _functions(after), strict=False):
        if ast.dump(old) != ast.dump(new) and _NODES[0] <= sum(1 for _ in ast.walk(old)) <= _NODES[1]:
            yield old, new


def _functions(data: bytes) -> list[ast.AST]:
    return [node for node in ast.walk(ast.parse(data)) if isinstance(node, ast.FunctionDef)]


def tree(node: ast.AST) -> _Tree:
    """Return a tree as lists; a name, a number or an attribute is part of its node's label."""
    words = [str(value) for _, value in ast.iter_fields(node) if isinstance(value, (str, int, float, complex, bytes))]
    children = [child for child in ast.iter_child_nodes(node) if not isinstance(child, ast.expr_context)]
    label = " ".join([type(node).__name__, *words])
    return [label, *(tree(child) for child in children)]


def _apted(a: _Tree, b: _Tree) -> float:
    helpers, tool = import_module("apted.helpers"), import_module("apted")

    def made(each: _Tree) -> Any:  # noqa: ANN401  # a Tree of apted, which is not installed here
        return helpers.Tree(each[0], *(made(child) for child in each[1:]))

    class Config(tool.Config):  # type: ignore[name-defined, misc]  # not installed here
        def rename(self, one: Any, other: Any) -> int:  # noqa: ANN401
            return one.name != other.name

    return float(tool.APTED(made(a), made(b), Config()).compute_edit_distance())


def _zss(a: _Tree, b: _Tree) -> float:
    tool = import_module("zss")

    def made(each: _Tree) -> Any:  # noqa: ANN401  # a Node of zss, which is not installed here
        return tool.Node(each[0], [made(child) for child in each[1:]])

    return float(tool.simple_distance(made(a), made(b), label_dist=lambda one, other: int(one != other)))


PEERS: Mapping[str, Callable[[_Tree, _Tree], float]] = {"apted": _apted, "zss": _zss}


def serve(peer: str) -> None:
    """Answer for a peer: CPU seconds and distance of a pair of trees; this runs in the peers' environment."""
    sys.setrecursionlimit(10_000)
    import_module(peer)
    a, b = json.load(sys.stdin)
    start = time.process_time()
    found = PEERS[peer](a, b)
    json.dump([time.process_time() - start, found], sys.stdout)


def ask(peer: str, pair: tuple[_Tree, _Tree], python: Path) -> tuple[float, float] | None:
    """Return CPU seconds and distance as a peer finds them; None when it does not run or is over its time."""
    try:
        done = subprocess.run(
            [python, __file__, "--serve", peer], input=json.dumps(pair), text=True, capture_output=True,
            check=True, timeout=_LIMIT_S,
        )  # fmt: skip
    except (subprocess.SubprocessError, OSError) as error:
        sys.stderr.write(f"{peer}: {error}\n")
        return None
    spent, found = json.loads(done.stdout)
    return spent, found


def peers_python(folder: Path) -> Path:
    """Return the interpreter of the peers' environment, made on first use."""
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--requirement", _PEERS_FILE], check=True)
    return python


def main(arguments: Sequence[str] | None = None) -> None:
    """Print one line per repository and one per peer."""
    from graph.snapshot import read_sources  # noqa: PLC0415  # see measure_edits

    parser = ArgumentParser(description="The cost of one distance, beside tree edit distance.")
    parser.add_argument(
        "folders", type=Path, nargs="+", help="repositories; the last one gives the peers their function"
    )
    parser.add_argument(
        "--peers", type=Path, default=Path("build/distance-venv"), help="the peers' environment, made if missing"
    )
    chosen = parser.parse_args(arguments)
    ours, pairs = 0.0, []
    for folder in chosen.folders:
        snapshot = read_sources(folder)
        spent, pairs = measure_edits(snapshot)
        ours = median(spent)
        lines = sum(data.count(b"\n") for data in snapshot.files.values())
        _write(
            f"{folder.name:<16} {lines:>6,} lines   {1e3 * ours:6.2f} ms an edit, 95 %: {1e3 * quantiles(spent, n=20)[-1]:.2f} ms"
        )
    found = next((each for pair in pairs for each in functions(*pair)), None)
    if found is None:
        _write(f"{chosen.folders[-1].name}: no edit fell into a function of {_NODES[0]} to {_NODES[1]} nodes")
        return
    trees = tree(found[0]), tree(found[1])
    _write(
        f"one edit in one function of {sum(1 for _ in ast.walk(found[0]))} nodes, 1 = ours for the whole repository:"
    )
    for peer in PEERS:
        answer = ask(peer, trees, peers_python(chosen.peers))
        _write(
            f"{peer:<8} {answer[0]:8.3f} s  {answer[0] / ours:8,.0f} x"
            if answer
            else f"{peer:<8} no answer in {_LIMIT_S} s"
        )


def _write(line: str) -> None:
    sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        serve(sys.argv[2])
    else:
        main()
