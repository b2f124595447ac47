"""How a script trains: what ends its loop, how often it measures, where it seeds, and which data it opens."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from graph.model import EdgeKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from graph.model import Node
    from harness.init.options import Option
    from harness.init.repository import Repository

_HOPS = 4  # calls between a training step and the loop over epochs
_SEEDING = (
    "manual_seed",
    "manual_seed_all",
    "set_seed",
    "seed_everything",
    "random.seed",
    "default_rng",
    "PRNGKey",
    "RandomState",
)
_LEAVES = (ast.Break, ast.Return, ast.Raise)
_OPENS = frozenset({"open", "memmap", "load", "fromfile", "loadtxt", "read_csv", "read_parquet", "Path", "ImageFolder"})
_SUFFIXES = frozenset(
    {".txt", ".csv", ".json", ".npy", ".npz", ".bin", ".pt", ".pkl", ".parquet", ".h5", ".gz", ".yaml", ".yml", ".toml", ".py"}
)  # fmt: skip
_LOOPS = (ast.For, ast.While)


@dataclass(frozen=True, slots=True)
class Place:
    """A statement, and where it stands."""

    path: str
    statement: ast.stmt

    @property
    def where(self) -> str:
        """As editors take it."""
        return f"{self.path}:{self.statement.lineno}"

    @property
    def text(self) -> str:
        """Its header, on one line."""
        return ast.unparse(self.statement).splitlines()[0].removesuffix(":")


@dataclass(frozen=True, slots=True)
class Reading:
    """Something that the sources open."""

    path: str  # relative to the root
    where: str


def loops_of(repository: Repository, script: str) -> list[Place]:
    """List the loops around the training steps of a script, the outermost first, through the functions that call each other."""
    found: dict[ast.stmt, Place] = {}
    for step in repository.steps(script):
        for node in step.updates:
            around = list(_loops_around(repository, node, _HOPS))
            found.update({place.statement: place for place in reversed(around)})
    return list(found.values())


def _loops_around(repository: Repository, node: Node, hops: int) -> Iterator[Place]:
    statement = _statement_at(repository, node)
    if statement is None:
        return
    for outer in repository.within(statement):
        if isinstance(outer, _LOOPS):
            yield Place(node.path, outer)
    function = repository.graph.runner(node)
    for site in repository.graph.sources(function.slot, EdgeKind.CALLS) if hops else ():
        caller = repository.graph.nodes[site]
        if caller.path and repository.graph.runner(caller).slot != function.slot:
            yield from _loops_around(repository, caller, hops - 1)


def _statement_at(repository: Repository, node: Node) -> ast.stmt | None:
    """Return the innermost statement of the tree that holds a node of the graph."""
    line = repository.graph.line(node)
    found = None
    for inner in ast.walk(repository.trees[node.path]) if node.path in repository.trees else ():
        if isinstance(inner, ast.stmt) and inner.lineno <= line <= (inner.end_lineno or inner.lineno):
            found = inner  # breadth first: what comes later is further inside
    return found


def endings_of(loops: Sequence[Place]) -> list[Place]:
    """List what ends a training: the first loop that counts or tests, and the tests that leave a loop."""
    counting = [loop for loop in loops if _counts(loop.statement)][:1]
    leaving = [
        Place(loop.path, inner)
        for loop in loops
        for inner in loop.statement.body  # type: ignore[attr-defined]  # of a loop
        if isinstance(inner, ast.If) and isinstance(inner.body[-1], _LEAVES) and _compares(inner.test)
    ]
    return [*counting, *({place.statement: place for place in leaving}).values()]


def _counts(loop: ast.stmt) -> bool:
    if isinstance(loop, ast.While):
        return not isinstance(loop.test, ast.Constant)
    return isinstance(loop, ast.For) and "range(" in ast.unparse(loop.iter)


def _compares(test: ast.expr) -> bool:
    return any(isinstance(node, ast.Compare) for node in ast.walk(test))


def bounds_of(endings: Sequence[Place], options: Mapping[str, Option]) -> list[Option]:
    """List the options that say how long a training goes on."""
    found = {}
    for place in endings:
        header = place.statement.iter if isinstance(place.statement, ast.For) else place.statement.test  # type: ignore[attr-defined]
        for option in _options_in(header, options):
            if not isinstance(option.default, bool) and not option.is_switch:
                found[option.name] = option
    return list(found.values())


def _options_in(expression: ast.expr, options: Mapping[str, Option]) -> Iterator[Option]:
    for node in ast.walk(expression):
        if isinstance(node, (ast.Name, ast.Attribute)):
            last = ast.unparse(node).rpartition(".")[2]
            yield from (o for name, o in options.items() if name == last or name.endswith(f".{last}"))


@dataclass(frozen=True, slots=True)
class Interval:
    """Every how many steps a script measures."""

    option: Option | None
    steps: int | None  # where it is a number in the source


def interval_of(repository: Repository, place: ast.AST, path: str, options: Mapping[str, Option]) -> Interval | None:
    """Return every how many steps a place is reached, by the tests around it and around the calls of its function."""
    for test in _tests_around(repository, place, path, _HOPS):
        for node in ast.walk(test):
            if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod):
                option = next(_options_in(node.right, options), None)
                steps = node.right.value if isinstance(node.right, ast.Constant) else None
                if option is not None or isinstance(steps, int):
                    return Interval(option, steps if isinstance(steps, int) else None)
    return None


def _tests_around(repository: Repository, place: ast.AST, path: str, hops: int) -> Iterator[ast.expr]:
    yield from (outer.test for outer in repository.within(place) if isinstance(outer, ast.If))
    function = repository.function_of(place)
    for node in ast.walk(repository.trees[path]) if function is not None and hops else ():
        called = isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] == function.name  # type: ignore[union-attr]
        if called and repository.function_of(node) is not function:
            yield from _tests_around(repository, node, path, hops - 1)


def seeds_of(repository: Repository, paths: Sequence[str]) -> list[Place]:
    """List the statements that seed a generator."""
    return [
        Place(path, repository.statement_of(node))
        for path in paths
        for node in ast.walk(repository.trees[path])
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(_SEEDING) and (node.args or node.keywords)
    ]


def readings_of(repository: Repository, paths: Sequence[str], settings: Mapping[str, object]) -> list[Reading]:
    """List what the sources open, as far as their texts and settings say: that which is there, and that which should be."""
    found: dict[str, Reading] = {}
    for path in paths:
        for node in ast.walk(repository.trees[path]):
            for text in _paths_named(repository, node, settings):
                plain = PurePosixPath(text).as_posix()
                if _is_inside(plain):
                    found.setdefault(plain, Reading(plain, f"{path}:{getattr(node, 'lineno', 0)}"))
    inner = {p for p in found for q in found if p != q and PurePosixPath(p).is_relative_to(q)}
    return [reading for path, reading in found.items() if path not in inner]


def _paths_named(repository: Repository, node: ast.AST, settings: Mapping[str, object]) -> Iterator[str]:
    """Walk the paths that a part of a tree names: of a join the whole, of a text what is a file or is opened as one."""
    if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("path.join"):
        parts = [_value(part, settings) for part in node.args]
        known = [part for part in parts if part is not None]
        if known and len(known) == len(parts) and (repository.root / "/".join(known)).exists():
            yield "/".join(known)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.isprintable():
        outer = repository.parents.get(node)
        is_joined = isinstance(outer, ast.Call) and ast.unparse(outer.func).endswith("path.join")
        is_path = "/" in node.value or PurePosixPath(node.value).suffix in _SUFFIXES
        if not is_joined and is_path and not {*":%{}<> \t"} & {*node.value}:
            is_there = (repository.root / node.value).exists()
            if is_there or _is_opened(repository, node):
                yield node.value


def _value(part: ast.expr, settings: Mapping[str, object]) -> str | None:
    if isinstance(part, ast.Constant):
        return str(part.value)
    found = settings.get(ast.unparse(part).rpartition(".")[2]) if isinstance(part, (ast.Name, ast.Attribute)) else None
    return str(found) if isinstance(found, str) else None


def _is_opened(repository: Repository, node: ast.Constant) -> bool:
    """Whether a text is given to what opens a file to read it, or to a data set of torchvision."""
    call = repository.parents.get(node)
    if not isinstance(call, ast.Call):
        return False
    written = any(isinstance(a, ast.Constant) and str(a.value)[:1] in "wax" for a in call.args[1:2])
    called = ast.unparse(call.func)
    return not written and (called.rpartition(".")[2] in _OPENS or "datasets." in called) and node in call.args[:1]


def _is_inside(path: str) -> bool:
    parts = PurePosixPath(path).parts
    return bool(parts) and not path.startswith("/") and ".." not in parts[1:] and parts != ("..",)
