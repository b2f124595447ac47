"""Structural features of a program: how far apart two versions are, and whether they are the same one.

`features` counts, per top-level statement, what a program is made of: the imports that it uses, its control structure, its
resolved callees, its operators, and with little weight the shapes of its expressions and its literals. `distance` is a weighted
L1 distance of the logarithms of these counts: a pseudo-metric in which the first occurrence of an operator, a loop or an import
counts most (0.69 of its weight, the eleventh 0.09). Names do not count: a local is named by the head of the definition that
reaches it in straight-line order, a function of the sources by how many parameters it takes and what it returns last, a class by
its constructor's and its base, an import by its full path. So renames, import aliases, comments, formatting, docstrings,
annotations and the order of commutative operands are at distance 0 exactly, and so is an import that nothing uses.

Limits. Branches are not joined: after an `if` the last definition in the text reaches. Two locals with equal heads, two functions
with equal signatures, and independent statements may be exchanged at distance 0; a literal moves by half an octave or not at all.
Variables of a module look alike from inside functions. Code that nothing calls counts fully, except behind a return.
Attributes, and keywords of callees outside the sources, keep their names. Identity is `canonical_digest`: it forgets the names of
locals, docstrings, comments and formatting, and nothing else.

Source: pq-grams (Augsten et al. 2005) are the published cousin of the edge and shape features; minimal-criterion novelty search
(Lehman and Stanley 2010) is what the distance is for.
"""

from __future__ import annotations

import ast
import builtins
import math
import re
import tokenize
import warnings
from collections import Counter, defaultdict
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from io import BytesIO
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

from graph.snapshot import GraphError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

# What one feature of a category weighs: a library first used is the larger step than a loop, that than a callee, that than a literal.
_WEIGHTS = {"import": 5.0, "control": 3.0, "call": 2.0, "operator": 2.0, "edge": 0.25, "shape": 0.25, "literal": 0.25}

_COMMUTATIVE = frozenset({"Add", "Mult", "BitOr", "BitAnd", "BitXor", "And", "Or", "Eq", "NotEq"})
_BUILTINS = frozenset(dir(builtins))
_WORD = re.compile(r"[^\W\d]\w*")
_WRAPPED = re.compile(r"(iter|item|with):")
_INTROSPECTION = frozenset({"locals", "eval", "exec", "vars", "dir"})  # a function that calls one shows its locals' names
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_NAMING = (ast.ExceptHandler, ast.MatchAs, ast.MatchStar, ast.MatchMapping)
_ENDS = (ast.Return, ast.Raise, ast.Break, ast.Continue)
_REEXPORTS = 8  # an import of an import of an import: followed this far
_CACHED_UNITS = 8192  # about 100 versions of a repository with 80 top-level statements


@dataclass(frozen=True, slots=True)
class Features:
    """Feature -> count over all files. A feature is a category and what was counted: `call torch.nn.functional.gelu`."""

    counts: Mapping[str, int]


def features(files: Mapping[str, bytes]) -> Features:
    """Count the features of a program, path -> bytes; top-level statements that were counted before are not read again.

    Raises: GraphError: a Python file does not parse.
    """
    modules = [_Module(path, _read_file(path, data)) for path, data in sorted(files.items()) if path.endswith(".py")]
    known = _known_names(modules)
    counts: Counter[str] = Counter()
    for module in modules:
        with _located(module.path):
            for unit_counts in _count_module(module, known):
                counts.update(unit_counts)
    return Features(dict(counts))


def distance(a: Features, b: Features) -> float:
    """Return how far apart two programs are: at least 0, symmetric, with the triangle inequality.

    Units: about 0.3 for a literal, 1 for an operator, 3 for a callee, 5 for a loop or a library, 1000 for another repository.
    """
    changed = {feature for feature, _ in a.counts.items() ^ b.counts.items()}
    return math.fsum(_WEIGHTS[feature.partition(" ")[0]] * _log_change(a, b, feature) for feature in changed)


def canonical_digest(files: Mapping[str, bytes]) -> str:
    """Name a program up to the names of locals, docstrings, comments and formatting; every literal counts.

    Locals are the variables that a function assigns. Its parameters are not: a caller may name them.
    Raises: GraphError: a Python file does not parse.
    """
    hasher = blake2b(digest_size=16)
    for path, data in sorted(files.items()):
        content = data
        if path.endswith(".py"):
            units = _read_file(path, data)
            with _located(path):
                content = b"".join(_canonical_unit(unit.text) for unit in units)
        hasher.update(f"{path}\0{len(content)}\0".encode() + content)
    return hasher.hexdigest()


def _log_change(a: Features, b: Features, feature: str) -> float:
    return abs(math.log1p(a.counts.get(feature, 0)) - math.log1p(b.counts.get(feature, 0)))


class Symbol(NamedTuple):
    """What a name stands for: its role names it in features; a path is something importable, which attributes extend."""

    role: str
    path: str = ""


_FREE, _SELF, _PARAMETER, _LOCAL = Symbol("free"), Symbol("self"), Symbol("parameter"), Symbol("local")
_VARIABLE = Symbol("variable")  # of a module, seen from a function or from another module


class _Unit(NamedTuple):
    """The text of one top-level statement with the comments above it, and the names that it binds in its module."""

    text: str
    words: frozenset[str]
    names: tuple[tuple[str, Symbol], ...]  # paths of relative imports begin with dots


class _Module(NamedTuple):
    path: str
    units: tuple[_Unit, ...]

    @property
    def name(self) -> str:
        return self.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    @property
    def package(self) -> str:
        return self.name if self.path.endswith("__init__.py") else self.name.rpartition(".")[0]


@contextmanager
def _located(path: str) -> Iterator[None]:
    try:
        yield
    except (SyntaxError, ValueError) as error:
        raise GraphError(f"{path}: does not parse: {error}") from error
    except RecursionError as error:
        raise GraphError(f"{path}: is nested too deeply to read; split the expression") from error


def _parse(text: str, path: str = "") -> ast.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an invalid escape in a target is the target's affair
        return ast.parse(text, path)


@lru_cache(maxsize=256)
def _read_file(path: str, data: bytes) -> tuple[_Unit, ...]:
    """Cut a file into its top-level statements; statements that share a line are one unit."""
    with _located(path):
        encoding, _ = tokenize.detect_encoding(BytesIO(data).readline)
        text = data.decode(encoding).replace("\r\n", "\n").replace("\r", "\n")
        ends: list[int] = [0]
        for statement in _parse(text, path).body:
            if statement.lineno <= ends[-1]:
                ends.pop()
            ends.append(statement.end_lineno or statement.lineno)
        lines = text.split("\n")
        return tuple(_read_unit("\n".join(lines[start:end])) for start, end in pairwise(ends))


@lru_cache(maxsize=_CACHED_UNITS)
def _read_unit(text: str) -> _Unit:
    names: dict[str, Symbol] = {}
    for name, node in _bindings(_parse(text).body):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names[name] = Symbol("", dict(_imported(node))[name])
        elif isinstance(node, (*_FUNCTIONS, ast.ClassDef)):
            names[name] = Symbol(_signature(node))
        else:
            names.setdefault(name, _VARIABLE)
    return _Unit(text, frozenset(_WORD.findall(text)), tuple(names.items()))


def _bindings(nodes: Iterable[ast.AST]) -> Iterator[tuple[str, ast.AST]]:
    """List the names that a scope binds, in source order and with repetitions, each with the node that binds it."""
    for node in nodes:
        if isinstance(node, ast.Name):
            if isinstance(node.ctx, ast.Store):
                yield node.id, node
        elif isinstance(node, (*_FUNCTIONS, ast.ClassDef)):
            yield node.name, node
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            yield from ((name, node) for name, _ in _imported(node))
        elif isinstance(node, _COMPREHENSIONS):
            yield from ((inner.target.id, inner) for inner in ast.walk(node) if isinstance(inner, ast.NamedExpr))
        elif not isinstance(node, ast.Lambda):
            if isinstance(node, _NAMING) and (name := _own_name(node)):
                yield name, node
            yield from _bindings(ast.iter_child_nodes(node))


def _own_name(node: ast.AST) -> str | None:
    return node.rest if isinstance(node, ast.MatchMapping) else getattr(node, "name", None)


def _imported(statement: ast.Import | ast.ImportFrom) -> Iterator[tuple[str, str]]:
    """List bound name -> import path; the path of a relative import begins with its dots."""
    for alias in statement.names:
        if isinstance(statement, ast.ImportFrom):
            prefix = "." * statement.level + (f"{statement.module}." if statement.module else "")
            yield alias.asname or alias.name, prefix + alias.name
        else:
            top = alias.name.partition(".")[0]
            yield (alias.asname, alias.name) if alias.asname else (top, top)


def _absolute(path: str, package: str) -> str:
    plain = path.lstrip(".")
    level = len(path) - len(plain)
    if not level:
        return path
    parents = package.split(".") if package else []
    return ".".join([*parents[: len(parents) - level + 1], plain])


def _signature(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> str:
    """Name a definition by what stays when it is renamed: its parameters' number and what it returns last, or its base."""
    if isinstance(node, ast.ClassDef):
        constructors = (each for each in node.body if isinstance(each, _FUNCTIONS) and each.name == "__init__")
        return f"class/{_arity(next(constructors, None))}:{_kind(node.bases[0]) if node.bases else ''}"
    last = node.body[-1]
    return f"def/{_arity(node)}:{_kind(last.value) if isinstance(last, ast.Return) and last.value else ''}"


def _arity(function: ast.FunctionDef | ast.AsyncFunctionDef | None) -> int:
    return 0 if function is None else sum(len(part) for part in (function.args.posonlyargs, function.args.args, function.args.kwonlyargs))


def _kind(node: ast.expr) -> str:
    called = node.func if isinstance(node, ast.Call) else node
    return f"{type(node).__name__}.{called.attr}" if isinstance(called, ast.Attribute) else type(node).__name__


def _known_names(modules: Iterable[_Module]) -> dict[str, Symbol]:
    """Resolve the names of all modules: `module.name` -> symbol, imports from the sources followed to the definition."""
    stated: dict[str, Symbol] = {}
    for module in modules:
        for unit in module.units:
            for name, symbol in unit.names:
                path = f"{module.name}.{name}"
                if symbol.path:
                    stated[path] = Symbol(symbol.role, _absolute(symbol.path, module.package))
                elif symbol is not _VARIABLE or path not in stated:
                    stated[path] = symbol
    return {path: _settle(symbol, stated) for path, symbol in stated.items()}


def _settle(symbol: Symbol, stated: Mapping[str, Symbol]) -> Symbol:
    for _ in range(_REEXPORTS):
        if symbol.path not in stated:
            break
        symbol = stated[symbol.path]
    return Symbol(symbol.path, symbol.path) if symbol.path else symbol


def _count_module(module: _Module, known: Mapping[str, Symbol]) -> Iterator[Mapping[str, int]]:
    """Count unit by unit; what module-level code has bound so far goes from one to the next."""
    bound: dict[str, Symbol] = {}
    for unit in module.units:
