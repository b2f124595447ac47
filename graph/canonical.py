"""The canonical form of a unit: its tree without positions, docstrings and the names of its locals (see graph.features)."""

from __future__ import annotations

import ast
from contextlib import contextmanager
from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from graph.units import CACHED_UNITS, FUNCTIONS, bindings, parse

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_INTROSPECTION = frozenset({"locals", "vars", "dir", "eval", "exec"})  # what can see the names of locals
_FIXED = (*FUNCTIONS, ast.ClassDef, ast.Import, ast.ImportFrom, ast.Global)  # bind names that are seen from elsewhere

_Function = ast.FunctionDef | ast.AsyncFunctionDef
_Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp


@lru_cache(maxsize=CACHED_UNITS)
def canonical_unit(text: str) -> bytes:
    """Digest each top-level statement of a unit, 16 bytes each; a statement that is only text has none."""
    dumps = (ast.dump(statement) for statement in _Canonical().block(parse(text).body))
    return b"".join(blake2b(dump.encode("utf-8", "surrogatepass"), digest_size=16).digest() for dump in dumps)


class _Canonical(ast.NodeTransformer):
    """Drops statements that are only text, and numbers the locals of a scope in the order in which it binds them."""

    def __init__(self) -> None:
        self._names: Mapping[str, str] = {}  # what names become here
        self._enclosing = self._names  # what they become in a scope that is defined here: it sees no class body
        self._depth = 0

    def visit(self, node: ast.AST) -> Any:  # noqa: ANN401 - None for a statement, an expression for an expression
        match node:
            case ast.Expr(value=ast.Constant(value=str())):
                return None
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                return self._function(node)
            case ast.ClassDef():
                return self._class(node)
            case ast.Lambda():
                return self._lambda(node)
            case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
                return self._comprehension(node)
        self._rename(node)
        return self.generic_visit(node)

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        if getattr(node, "body", None) == []:
            node.body = [ast.Pass()]  # type: ignore[attr-defined]  # a block of nothing but text
        return node

    def block(self, statements: Iterable[ast.stmt]) -> list[ast.stmt]:
        """Canonicalise statements in the scope that this is in."""
        return [kept for statement in statements if (kept := self.visit(statement)) is not None]

    def _rename(self, node: ast.AST) -> None:
        match node:
            case ast.Name():
                node.id = self._new(node.id)
            case ast.Nonlocal():
                node.names = [self._new(name) for name in node.names]
            case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                node.name = self._new(name)
            case ast.MatchMapping(rest=str(name)):
                node.rest = self._new(name)

    def _new(self, name: str) -> str:
        return self._names.get(name, name)

    def _function(self, node: _Function) -> ast.AST:
        body, node.body = node.body, []
        super().generic_visit(node)  # decorators, defaults and annotations belong outside
        with self._scope(_function_names(node, body, self._depth)):
            node.body = self.block(body) or [ast.Pass()]
        return node

    def _class(self, node: ast.ClassDef) -> ast.AST:
        body, node.body = node.body, []
        super().generic_visit(node)
        outer, self._names = self._names, {**self._enclosing, **{name: name for name, _ in bindings(body)}}
        node.body = self.block(body) or [ast.Pass()]
        self._names = outer
        return node

    def _lambda(self, node: ast.Lambda) -> ast.AST:
        body, node.body = node.body, ast.Constant(None)
        super().generic_visit(node)
        with self._scope({name: name for name in _parameters(node.args)}):
            node.body = self.visit(body)
        return node

    def _comprehension(self, node: _Comprehension) -> ast.AST:
        first = node.generators[0]
        iterable, first.iter = self.visit(first.iter), ast.Constant(None)  # it is evaluated outside
        targets = bindings(loop.target for loop in node.generators)
        with self._scope(_number((name for name, _ in targets), self._depth)):
            super().generic_visit(node)
        first.iter = iterable
        return node

    @contextmanager
    def _scope(self, names: Mapping[str, str]) -> Iterator[None]:
        outer = self._names, self._enclosing
        self._names = self._enclosing = {**self._enclosing, **names}
        self._depth += 1
        yield
        self._depth -= 1
        self._names, self._enclosing = outer


def _function_names(node: _Function, body: list[ast.stmt], depth: int) -> dict[str, str]:
    """Say what the names that a function binds become; those that its callers or the module can see stay."""
    bound = list(bindings(body))
    seen = any(_shows_names(each) for part in body for each in ast.walk(part))
    fixed = {*_parameters(node.args), *(name for name, by in bound if seen or isinstance(by, _FIXED))}
    inherited = {name for name, by in bound if isinstance(by, ast.Nonlocal)}
    numbered = _number((name for name, _ in bound if name not in fixed | inherited), depth)
    return {**numbered, **{name: name for name in fixed - inherited}}


def _shows_names(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _INTROSPECTION


def _parameters(node: ast.arguments) -> list[str]:
    stars = [star for star in (node.vararg, node.kwarg) if star is not None]
    return [each.arg for each in (*node.posonlyargs, *node.args, *node.kwonlyargs, *stars)]


def _number(names: Iterable[str], depth: int) -> dict[str, str]:
    return {name: f"%{depth}.{index}" for index, name in enumerate(dict.fromkeys(names))}
