"""Units of text: a file cut into its top-level statements, with the names that each binds, read once per text.

A search changes one statement of a repository at a time, so what is derived from a unit's text alone is kept: features, digests and
complexity of the other units cost a look-up. So is what follows from a whole file: modules and what they bind (`Names`, `Known`) are
the same objects as long as their sources, or the names in them, do not change. Names of definitions are what stays when they are renamed
(`Symbol`).
"""

from __future__ import annotations

import ast
import re
import tokenize
import warnings
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, lru_cache
from io import BytesIO
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from graph.snapshot import GraphError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

CACHED_UNITS = 8192  # about 100 versions of a repository with 80 top-level statements

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)

CACHED_FILES = 1024  # a repository of 100 files, and as many versions of some
_CACHED_TREES = 32  # between cutting, reading and counting the same unit
_CACHED_PROGRAMS = 64  # by the names that they bind, which few edits change
_ATTEMPTS = 4  # to find where a statement ends before the whole file is parsed
_REEXPORTS = 8  # an import of an import of an import: followed this far
_WORD = re.compile(r"[^\W\d]\w*")
_BLANK = r"(?:^[ \t]*(?:#[^\n]*)?\n)*"  # lines without code
# What may begin a statement, with the lines without code above it.
_START = re.compile(rf"{_BLANK}^(?![\s#)\]}}]|(?:else|elif|except|finally)\b).", re.MULTILINE)
_QUOTES = ('"""', "'''")
_NAMING = (ast.ExceptHandler, ast.MatchAs, ast.MatchStar, ast.MatchMapping)


class Symbol(NamedTuple):
    """What a name stands for. Its role stands for it in features; a path is something importable, which attributes extend."""

    role: str
    path: str = ""


VARIABLE = Symbol("variable")  # of a module, seen from a function or from another module


class Unit(NamedTuple):
    """One top-level statement, or several that share a line, with the comments above, and the names that it binds."""

    text: str
    words: frozenset[str]
    names: tuple[tuple[str, Symbol], ...]  # the path of a relative import begins with its dots


@dataclass(frozen=True, slots=True, eq=False)
class Names:
    """What a module binds: dotted path -> symbol. Equal only to itself; versions of a module that bind the same have the same."""

    stated: Mapping[str, Symbol]


@dataclass(frozen=True, eq=False)
class Module:
    """One Python file, equal only to itself."""

    path: str
    units: tuple[Unit, ...]

    @cached_property
    def name(self) -> str:
        """The dotted name that imports use."""
        return self.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    @cached_property
    def package(self) -> str:
        """What relative imports are relative to."""
        return self.name if self.path.endswith("__init__.py") else self.name.rpartition(".")[0]

    @cached_property
    def words(self) -> frozenset[str]:
        """The words of its units."""
        return frozenset().union(*(unit.words for unit in self.units))

    @cached_property
    def names(self) -> Names:
        """What it binds."""
        return _names(self.name, self.package, tuple(name for unit in self.units for name in unit.names))


@dataclass(frozen=True, slots=True, eq=False)
class Paths:
    """The dotted paths that end in one word. Equal only to itself, and the same as long as they stand for the same."""

    symbols: tuple[tuple[str, Symbol], ...]


@dataclass(frozen=True, eq=False)
class Known:
    """What all modules of a program bind: dotted path -> symbol; an import from the sources is what it imports."""

    symbols: Mapping[str, Symbol]

    @cached_property
    def paths(self) -> Mapping[str, Paths]:
        """What ends in a word, by that word."""
        found: defaultdict[str, list[tuple[str, Symbol]]] = defaultdict(list)
        for path, symbol in self.symbols.items():
            found[path.rpartition(".")[2]].append((path, symbol))
        return {word: _paths(tuple(each)) for word, each in found.items()}


def read_modules(files: Mapping[str, bytes]) -> tuple[Module, ...]:
    """Cut the Python files among these into units, in the order of their paths.

    Raises: GraphError: a file does not parse.
    """
    return tuple(_read_module(path, data) for path, data in sorted(files.items()) if path.endswith(".py"))


@contextmanager
def located(path: str) -> Iterator[None]:
    """Turn what Python says of unreadable sources into a GraphError that names the file."""
    try:
        yield
    except (SyntaxError, ValueError) as error:
        raise GraphError(f"{path}: does not parse: {error}") from error
    except RecursionError as error:
        raise GraphError(f"{path}: is nested too deeply to read; split its longest expression") from error


def parse(text: str, path: str = "") -> ast.Module:
    """Parse without warnings: an invalid escape in a target is the target's affair."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(text, path)


@lru_cache(maxsize=_CACHED_TREES)
def tree_of(text: str) -> ast.Module:
    """Parse a unit to be read by several; nobody may change the tree."""
    return parse(text)


def known_names(modules: Iterable[Module]) -> Known:
    """Resolve what all modules bind."""
    return _known(tuple(module.names for module in modules))


def absolute(path: str, package: str) -> str:
    """Return an import path without its leading dots, seen from a package."""
    plain = path.lstrip(".")
    level = len(path) - len(plain)
    parents = package.split(".")[: package.count(".") + 2 - level] if level and package else []
    return ".".join([*parents, plain])


def bindings(nodes: Iterable[ast.AST]) -> Iterator[tuple[str, ast.AST]]:
    """List the names that a scope binds or declares, in source order and with repetitions, each with the node that does."""
    for node in nodes:
        if isinstance(node, ast.Name):
            if isinstance(node.ctx, ast.Store):
                yield node.id, node
        elif isinstance(node, (*FUNCTIONS, ast.ClassDef)):
            yield node.name, node
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            yield from ((name, node) for name, _ in imported(node))
        elif isinstance(node, (ast.Global, ast.Nonlocal)):
            yield from ((name, node) for name in node.names)
        elif isinstance(node, COMPREHENSIONS):
            yield from ((each.target.id, each) for each in ast.walk(node) if isinstance(each, ast.NamedExpr))
        elif not isinstance(node, ast.Lambda):
            if isinstance(node, _NAMING) and (name := named(node)):
                yield name, node
            yield from bindings(ast.iter_child_nodes(node))


def named(node: ast.ExceptHandler | ast.MatchAs | ast.MatchStar | ast.MatchMapping) -> str | None:
    """Return the name that an exception handler or a pattern binds itself."""
    return node.rest if isinstance(node, ast.MatchMapping) else node.name


def imported(statement: ast.Import | ast.ImportFrom) -> Iterator[tuple[str, str]]:
    """List bound name -> import path; the path of a relative import begins with its dots."""
    for alias in statement.names:
        if isinstance(statement, ast.ImportFrom):
            prefix = "." * statement.level + (f"{statement.module}." if statement.module else "")
            yield alias.asname or alias.name, prefix + alias.name
        else:
            top = alias.name.partition(".")[0]
            yield (alias.asname, alias.name) if alias.asname else (top, top)


def signature(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> Symbol:
    """Name a definition by what stays when it is renamed: how much it takes and what it returns last, or its base."""
    if isinstance(node, ast.ClassDef):
        constructor = next(
            (each for each in node.body if isinstance(each, FUNCTIONS) and each.name == "__init__"), None
        )
        return Symbol(f"class/{_arity(constructor)}:{_kind(node.bases[0] if node.bases else None)}")
    returned = next((each.value for each in node.body if isinstance(each, ast.Return)), None)  # what follows it is dead
    return Symbol(f"def/{_arity(node)}:{_kind(returned)}")


@lru_cache(maxsize=CACHED_FILES)
def _read_module(path: str, data: bytes) -> Module:
    with located(path):
        encoding, _ = tokenize.detect_encoding(BytesIO(data).readline)
        text = data.decode(encoding).replace("\r\n", "\n").replace("\r", "\n")
        ends = _ends_by_blocks(text)
        if ends is None:
            ends = _ends(parse(text, path))
        lines = text.split("\n")
        return Module(path, tuple(_read_unit("\n".join(lines[a:b])) for a, b in pairwise((0, *ends))))


def _ends(tree: ast.Module) -> tuple[int, ...]:
    """Return the last line of each top-level statement; of those that share a line, of the last one."""
    ends = [0]
    for statement in tree.body:
        if statement.lineno <= ends[-1]:
            ends.pop()
        ends.append(statement.end_lineno or statement.lineno)
    return tuple(ends[1:])


def _ends_by_blocks(text: str) -> tuple[int, ...] | None:
    """Return the ends of a text that parses block by block, from one line that may begin a statement to the next; else None.

    Blocks that parse alone parse the same together: what continues a statement begins none. A block that does not parse may go on
    in the next one, as a text of several lines does.
    """
    ends: list[int] = []
    first, before, attempts = 0, 0, 0  # offset and line where the block begins, and how often it did not parse
    for stop in (*(match.start() for match in _START.finditer(text) if match.start()), len(text)):
        block = text[first:stop]
        if attempts and stop < len(text) and any(block.count(quotes) % 2 for quotes in _QUOTES):
            continue
        found = _block_ends(block)
        if found is not None:
            ends += [before + end for end in found]
            first, before, attempts = stop, before + block.count("\n"), 0
        elif (attempts := attempts + 1) > _ATTEMPTS:
            return None
    return tuple(ends) if first == len(text) else None


@lru_cache(maxsize=CACHED_UNITS)
def _block_ends(block: str) -> tuple[int, ...] | None:
    try:
        return _ends(tree_of(block.removesuffix("\n")))
    except (SyntaxError, ValueError):
        return None


@lru_cache(maxsize=CACHED_UNITS)
def _read_unit(text: str) -> Unit:
    names: dict[str, Symbol] = {}
    for name, node in bindings(tree_of(text).body):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names[name] = Symbol("", dict(imported(node))[name])
        elif isinstance(node, (*FUNCTIONS, ast.ClassDef)):
            names[name] = signature(node)
        else:
            names.setdefault(name, VARIABLE)
    return Unit(text, frozenset(_WORD.findall(text)), tuple(names.items()))


@lru_cache(maxsize=CACHED_FILES)
def _names(module: str, package: str, bound: tuple[tuple[str, Symbol], ...]) -> Names:
    stated: dict[str, Symbol] = {}
    for name, symbol in bound:
        path = f"{module}.{name}"
        if symbol != VARIABLE or path not in stated:
            stated[path] = symbol._replace(path=absolute(symbol.path, package))
    return Names(stated)


@lru_cache(maxsize=CACHED_UNITS)
def _paths(symbols: tuple[tuple[str, Symbol], ...]) -> Paths:
    return Paths(symbols)


@lru_cache(maxsize=_CACHED_PROGRAMS)
def _known(modules: tuple[Names, ...]) -> Known:
    stated: dict[str, Symbol] = {}
    for module in modules:
        for path, symbol in module.stated.items():
            if symbol != VARIABLE or path not in stated:
                stated[path] = symbol
    return Known({path: _settle(symbol, stated) for path, symbol in stated.items()})


def _settle(symbol: Symbol, stated: Mapping[str, Symbol]) -> Symbol:
    for _ in range(_REEXPORTS):
        if symbol.path not in stated:
            break
        symbol = stated[symbol.path]
    return Symbol(symbol.path, symbol.path) if symbol.path else symbol


def _arity(function: ast.FunctionDef | ast.AsyncFunctionDef | None) -> int:
    lists = () if function is None else (function.args.posonlyargs, function.args.args, function.args.kwonlyargs)
    return sum(map(len, lists))


def _kind(node: ast.expr | None) -> str:
    called = node.func if isinstance(node, ast.Call) else node
    attribute = f".{called.attr}" if isinstance(called, ast.Attribute) else ""
    return "" if node is None else type(node).__name__ + attribute
