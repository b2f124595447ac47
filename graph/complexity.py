"""Complexity of a program: how many paths run through it, how hard it is to follow, and how much of it there is.

Cyclomatic (McCabe 1976): one per function, one per decision, wherever it stands: in a function, a closure, a lambda, a class body,
at module level. Decisions are `if`, `elif`, loops and their `else`, handlers (`except*` too), the `else` of a `try`, cases that can
fail, guards and alternatives of patterns, `assert`, the conditional expression, each further operand of `and` and `or`, and the loops
and conditions of comprehensions. Cognitive (Campbell, SonarSource 2018, version 1.5): a branch costs one more per level that it is
nested in, an `else` one, a run of equal boolean operators one, a recursive call one. Nodes are counted without docstrings, so that
straight-line bloat has a price as well.

radon, the familiar counter, has no figure for module-level code (84 % of the decisions of nanoGPT's train.py), and leaves closures
and `except*` out. A sum over units does not change when code moves between units or files.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from graph.units import CACHED_UNITS, COMPREHENSIONS, FUNCTIONS, located, read_modules, tree_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_ONE_PATH = (*FUNCTIONS, ast.If, ast.IfExp, ast.ExceptHandler, ast.Assert)
_STRUCTURES = (ast.For, ast.AsyncFor, ast.While, ast.IfExp, ast.ExceptHandler, ast.Match, ast.comprehension)
_HEADS = frozenset({"test", "iter", "subject", "type", "generators"})  # fields that are read before the nesting begins


@dataclass(frozen=True, slots=True)
class Complexity:
    """Three figures of a program, or of the difference of two; less is simpler."""

    cyclomatic: int
    cognitive: int
    nodes: int

    def __sub__(self, other: Complexity) -> Complexity:
        cyclomatic, cognitive = self.cyclomatic - other.cyclomatic, self.cognitive - other.cognitive
        return Complexity(cyclomatic, cognitive, self.nodes - other.nodes)


def complexity(files: Mapping[str, bytes]) -> Complexity:
    """Sum the complexity of all Python files, path -> bytes; statements that were counted before are not read again.

    Raises: GraphError: a file does not parse.
    """
    cyclomatic = cognitive = nodes = 0
    for module in read_modules(files):
        with located(module.path):
            counted = [_count_unit(unit.text) for unit in module.units]
        cyclomatic += sum(each.cyclomatic for each in counted)
        cognitive += sum(each.cognitive for each in counted)
        nodes += sum(each.nodes for each in counted)
    return Complexity(cyclomatic, cognitive, nodes)


@lru_cache(maxsize=CACHED_UNITS)
def _count_unit(text: str) -> Complexity:
    tree = tree_of(text)
    nodes = list(_weighty(tree))
    return Complexity(sum(map(_paths, nodes)), _effort(tree, 0, ""), len(nodes) - 1)


def _weighty(tree: ast.AST) -> Iterator[ast.AST]:
    """Walk a tree without what is no work to read: the contexts of names, and statements that are only a constant."""
    waiting = [tree]
    while waiting:
        match node := waiting.pop():
            case ast.expr_context() | ast.Expr(value=ast.Constant()):
                continue
        yield node
        waiting.extend(ast.iter_child_nodes(node))


def _paths(node: ast.AST) -> int:
    """Count the paths that one node adds."""
    match node:
        case ast.BoolOp(values=operands) | ast.MatchOr(patterns=operands):
            return len(operands) - 1
        case ast.For(orelse=other) | ast.AsyncFor(orelse=other) | ast.While(orelse=other):
            return 1 + bool(other)
        case ast.Try(orelse=other) | ast.TryStar(orelse=other):
            return bool(other)
        case ast.comprehension(ifs=conditions):
            return 1 + len(conditions)
        case ast.match_case(pattern=ast.MatchAs(pattern=None), guard=guard):  # it cannot fail but for its guard
            return guard is not None
        case ast.match_case(guard=guard):
            return 1 + (guard is not None)
    return isinstance(node, _ONE_PATH)


def _effort(node: ast.AST, nesting: int, function: str) -> int:
    """Sum the cognitive complexity in and below a node inside a function, or inside none."""
    if isinstance(node, ast.If):
        return 1 + nesting + _branches(node, nesting, function)
    if isinstance(node, FUNCTIONS):
        nesting, function = nesting + bool(function), node.name
    deeper = nesting + isinstance(node, (*_STRUCTURES, *COMPREHENSIONS, ast.Lambda))
    inner = ((nesting if name in _HEADS else deeper, child) for name, child in _children(node))
    return _increment(node, nesting, function) + sum(_effort(child, level, function) for level, child in inner)


def _branches(node: ast.If, nesting: int, function: str) -> int:
    effort = _effort(node.test, nesting, function) + sum(_effort(each, nesting + 1, function) for each in node.body)
    match node.orelse:
        case []:
            return effort
        case [ast.If() as other]:  # an elif, or an `else` that should be one
            return effort + 1 + _branches(other, nesting, function)
        case others:
            return effort + 1 + sum(_effort(each, nesting + 1, function) for each in others)


def _increment(node: ast.AST, nesting: int, function: str) -> int:
    """Return what one node costs itself."""
    match node:
        case ast.For(orelse=other) | ast.AsyncFor(orelse=other) | ast.While(orelse=other):
            return 1 + nesting + bool(other)
        case ast.comprehension(ifs=conditions):
            return 1 + nesting + len(conditions)
        case ast.BoolOp():
            return 1
        case ast.Call(func=ast.Name(id=name)) | ast.Call(func=ast.Attribute(value=ast.Name(id="self"), attr=name)):
            return name == function
    return 1 + nesting if isinstance(node, _STRUCTURES) else 0


def _children(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    for name, value in ast.iter_fields(node):
        each = value if isinstance(value, list) else [value]
        yield from ((name, child) for child in each if isinstance(child, ast.AST))
