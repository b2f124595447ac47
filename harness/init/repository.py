"""A repository as `init` reads it: the graph for what runs what, the compiler's trees for what is written where. Nothing is imported."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from graph.build import build_graph
from graph.model import EdgeKind, NodeKind
from graph.query import callees
from graph.snapshot import python_files, read_snapshot
from mutator.steps import steps_in
from targets.manifest import TargetError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from graph.code_graph import CodeGraph
    from graph.model import Node
    from mutator.steps import Step

_ASIDE = frozenset({"setup.py", "conftest.py", "noxfile.py", "docs", "doc", "test", "tests", "testing", "build"})
_DEPTH = 12  # calls between a script and its training step


@dataclass(frozen=True)
class Repository:
    """The Python files below a folder."""

    root: Path
    graph: CodeGraph

    @classmethod
    def read(cls, root: Path) -> Repository:
        """Read a folder.

        Raises: GraphError: it holds no Python file.
        """
        return cls(root, build_graph(read_snapshot(root, python_files(root))))

    @cached_property
    def trees(self) -> Mapping[str, ast.Module]:
        """The trees of the files that parse."""
        found = {}
        for path, source in self.graph.snapshot.files.items():
            try:
                found[path] = ast.parse(source)
            except (SyntaxError, ValueError):
                continue  # the graph says so as well
        return found

    @cached_property
    def parents(self) -> Mapping[ast.AST, ast.AST]:
        """What each part of a tree stands in."""
        trees = self.trees.values()
        return {child: node for tree in trees for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}

    def files_of(self, script: str) -> tuple[str, ...]:
        """List the files that a script imports, directly or not, itself first; the packages that they are in as well."""
        pending, found = [script], dict[str, None]()
        while pending:
            path = pending.pop()
            if path in found or path not in self.trees:
                continue
            found[path] = None
            imports = [node.slot for node in self.graph.files[path].nodes if node.kind is NodeKind.IMPORT]
            targets = (target for slot in imports for target in self.graph.targets(slot, EdgeKind.IMPORTS))
            pending += [node.path for target in targets if (node := self.graph.nodes[target]).path]
            pending += [f"{folder}/__init__.py" for folder in PurePosixPath(path).parents if str(folder) != "."]
            pending += self._beside(path) if path == script else []
        return tuple(found)

    def _beside(self, script: str) -> list[str]:
        """List what a script may import from its own folder, which is not the root."""
        folder = PurePosixPath(script).parent
        names = imported_names(self.trees[script]) if str(folder) != "." else ()
        return [path for name in names if (path := (folder / f"{name.replace('.', '/')}.py").as_posix()) in self.trees]

    def scripts(self) -> list[str]:
        """List the scripts that train: those whose own lines reach a training step."""
        return [
            path for path in self.trees if not _ASIDE & {*PurePosixPath(path).parts} and next(self.steps(path), None)
        ]

    def steps(self, script: str) -> Iterator[Step]:
        """Walk the training steps that running a script reaches."""
        module = next(node for node in self.graph.files[script].nodes if node.kind is NodeKind.MODULE)
        reached = (self.graph.nodes[slot] for slot in callees(self.graph, module.slot, depth=_DEPTH))
        for node in (module, *reached):
            if node.path and node.kind in (NodeKind.MODULE, NodeKind.FUNCTION):
                yield from steps_in(self.graph, node.slot, node.path)

    def within(self, node: ast.AST) -> Iterator[ast.AST]:
        """Walk what a part of a tree stands in, from the inside."""
        while (outer := self.parents.get(node)) is not None:
            yield outer
            node = outer

    def function_of(self, node: ast.AST) -> ast.FunctionDef | None:
        """Return the function that a part of a tree stands in."""
        return next((outer for outer in self.within(node) if isinstance(outer, ast.FunctionDef)), None)

    def statement_of(self, node: ast.AST) -> ast.stmt:
        """Return the statement that a part of a tree stands in, or is."""
        return next(outer for outer in (node, *self.within(node)) if isinstance(outer, ast.stmt))

    def node_at(self, path: str, place: ast.stmt) -> Node | None:
        """Return the node of the graph for a statement or a function of a tree."""
        kind = NodeKind.FUNCTION if isinstance(place, ast.FunctionDef) else NodeKind.STATEMENT
        start = self.offset(path, place)
        inside = (node for node in self.graph.files[path].nodes if node.kind is kind and node.start == start)
        return next(inside, None)

    def offset(self, path: str, place: ast.stmt | ast.expr, *, at_end: bool = False) -> int:
        """Return the byte offset at which a part of a tree starts, or behind which it ends."""
        line = place.end_lineno if at_end and place.end_lineno else place.lineno
        column = place.end_col_offset if at_end and place.end_col_offset is not None else place.col_offset
        return self._starts[path][line - 1] + column

    @cached_property
    def _starts(self) -> Mapping[str, list[int]]:
        found = {}
        for path in self.trees:
            starts, data = [0], self.graph.snapshot.files[path]
            while (end := data.find(b"\n", starts[-1])) >= 0:
                starts.append(end + 1)
            found[path] = starts
        return found


def imported_names(tree: ast.Module) -> list[str]:
    """List the modules that a file imports by absolute names."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found.append(node.module)
    return found


def open_repository(path: Path) -> Repository:
    """Read the folder that a person names.

    Raises: TargetError: it is no folder. GraphError: it holds no Python file.
    """
    if not path.is_dir():
        raise TargetError(f"{path}: is no folder; name the folder of a repository")
    return Repository.read(path.absolute())
