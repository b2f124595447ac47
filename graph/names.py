"""The names of statements: what they load, bind and set, on Python's own trees."""

from __future__ import annotations

import ast
from collections import Counter
from typing import TYPE_CHECKING

from graph.outline import DEFINITIONS, binders, blocks, own_names, set_attributes, statements
from graph.units import FUNCTIONS, imported, parse
from graph.walk import BUILTINS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def loads(body: Iterable[ast.stmt]) -> Counter[str]:
    """Count the names that statements load, builtins left out, in the order of their first use."""
    nodes = (node for statement in body for node in ast.walk(statement) if isinstance(node, ast.Name))
    return Counter(n.id for n in nodes if isinstance(n.ctx, ast.Load) and n.id not in BUILTINS)


def declared(text: str) -> tuple[frozenset[str], frozenset[str]]:
    """Return the names that a text binds anywhere, and the attributes: members of classes and what is set on something."""
    tree = parse(text)
    names, attributes = set[str](), set[str]()
    for node in ast.walk(tree):
        names.update(_binds(node))
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            attributes.add(node.attr)
        if isinstance(node, ast.ClassDef):
            attributes.update(binders(node.body))
    return frozenset(names), frozenset(attributes)


def bound_inside(function: ast.stmt) -> frozenset[str]:
    """Return the names that a function or anything in it binds, those that it declares to be others' left out."""
    nodes = [node for node in ast.walk(function) if node is not function]
    others = {name for node in nodes if isinstance(node, (ast.Global, ast.Nonlocal)) for name in node.names}
    return frozenset(name for node in nodes for name in _binds(node)) - others


def _binds(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Name(ctx=ast.Store()):
            yield node.id
        case ast.arg():
            yield node.arg
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            yield node.name
        case ast.Import() | ast.ImportFrom():
            yield from (name for name, _ in imported(node))
        case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
            yield name
        case ast.MatchMapping(rest=str(name)):
            yield name


def parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> tuple[str, ...]:
    """Return the names of a function's parameters, the first one first."""
    known = function.args
    found = [*known.posonlyargs, *known.args, *known.kwonlyargs, known.vararg, known.kwarg]
    return tuple(argument.arg for argument in found if argument is not None)


def assigned(owner: ast.ClassDef, name: str) -> Iterator[ast.stmt]:
    """Walk the statements of a class's methods that set an attribute of their first parameter, those of `__init__` first."""
    methods = [s for s in owner.body if isinstance(s, FUNCTIONS)]
    for method in sorted(methods, key=lambda m: m.name != "__init__"):
        first = next(iter(parameters(method)), "")
        for statement in statements(method.body):
            if not blocks(statement) and f"{first}.{name}" in set_attributes(statement):
                yield statement


def name_of(statement: ast.stmt) -> str:
    """Name a statement for people: what it binds, else what it is."""
    names = (*set_attributes(statement), *own_names(statement)) if not isinstance(statement, DEFINITIONS) else ()
    return next(iter(names or own_names(statement)), type(statement).__name__.lower())


def is_text(statement: ast.stmt) -> bool:
    """Whether a statement is a docstring, or does as little."""
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
