"""Asserts of the sources as free invariants: whether another whole number in some place would make one fail.

An assert is evaluated when all its names are whole numbers that the sources state: constants of modules, followed through imports and
products, and fields next to the edited one. What cannot be evaluated says nothing. Two rules need no assert: heads divide the width, and
leave an even size for rotary positions.
"""

from __future__ import annotations

import ast
from functools import lru_cache
from typing import TYPE_CHECKING

from graph.code_graph import CodeGraph
from graph.model import EdgeKind, Node, NodeKind
from graph.syntax import BindingKind, field_of, parts, text_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_DEPTH = 6  # names followed through names
_WIDTHS = (
    "n_embd",
    "d_model",
    "hidden_size",
    "embed_dim",
    "model_dim",
    "n_model",
    "embedding_dim",
    "emsize",
    "width",
    "dim",
)
_HEADS = ("n_head", "n_heads", "num_heads", "nhead", "heads", "num_attention_heads")
_GROUPS = ("n_kv_head", "n_kv_heads", "num_kv_heads", "n_query_groups", "num_key_value_heads")
_OPERATORS: Mapping[type[ast.AST], Callable[[int, int], int | bool]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.FloorDiv: lambda a, b: a // b,
    ast.Mod: lambda a, b: a % b,
    ast.Eq: lambda a, b: a == b,
    ast.NotEq: lambda a, b: a != b,
    ast.Lt: lambda a, b: a < b,
    ast.LtE: lambda a, b: a <= b,
    ast.Gt: lambda a, b: a > b,
    ast.GtE: lambda a, b: a >= b,
}


def breaks_assertion(graph: CodeGraph, node: Node, text: str) -> bool:
    """Whether a whole number, written in the place of a literal, would make an assert fail that holds now."""
    before, after = _Values(graph, node, graph.text(node)), _Values(graph, node, text)
    if not before.name:
        return False
    if _misfits(after) and not _misfits(before):
        return True
    return any(
        before.truth(test) is True and after.truth(test) is False
        for data in graph.snapshot.files.values() if b"assert" in data
        for test in _asserted(data)
    )  # fmt: skip


@lru_cache(maxsize=1024)
def _asserted(data: bytes) -> tuple[ast.expr, ...]:
    """Return the tests of the asserts of a file that compare whole numbers."""
    try:
        tree = ast.parse(data)
    except (SyntaxError, ValueError):
        return ()
    tests = (node.test for node in ast.walk(tree) if isinstance(node, ast.Assert))
    return tuple(test for test in tests if all(isinstance(part, _SIMPLE) for part in ast.walk(test)))


_SIMPLE = (
    ast.Name, ast.Attribute, ast.Constant, ast.BinOp, ast.Compare, ast.BoolOp, ast.expr_context, ast.operator, ast.cmpop, ast.boolop,
)  # fmt: skip


def _misfits(values: _Values) -> bool:
    """Whether heads do not divide the width evenly, or key heads the heads."""
    width, heads, groups = (
        next((v for n in names if (v := values.own(n)) is not None), None) for names in (_WIDTHS, _HEADS, _GROUPS)
    )
    if heads is not None and groups is not None and (groups < 1 or groups > heads or heads % groups):
        return True
    return width is not None and heads is not None and (heads < 1 or bool(width % heads) or bool(width // heads % 2))


class _Values:
    """What names hold where a literal stands, when the literal reads as a given text."""

    def __init__(self, graph: CodeGraph, node: Node, text: str) -> None:
        self.graph, self.scope = graph, graph.nodes[node.scope]
        self.known: dict[str, int | None] = {}
        self.name = ""
        outer = graph.parent(node)
        if node.role == "argument" and outer is not None and outer.kind is NodeKind.CALL:
            self.name = node.label
            for part in parts(field_of(graph.syntax(outer), "arguments")):
                if part.type == "keyword_argument":
                    self._keep(text_of(field_of(part, "name")), text_of(field_of(part, "value")))
            self._keep(self.name, text)
            return
        statement = graph.statement(node)
        written = graph.targets(statement.slot, EdgeKind.WRITES) if statement is not None else ()
        if statement is None or len(written) != 1:
            return
        self.name = graph.nodes[written[0]].label
        whole = graph.text(statement)
        data = whole.encode()
        changed = data[: node.start - statement.start] + text.encode() + data[node.end - statement.start :]
        self._keep(self.name, changed.decode().partition("=")[2])

    def _keep(self, name: str, text: str) -> None:
        try:
            found = self._number(ast.parse(text.strip(), mode="eval").body, _DEPTH)
        except (SyntaxError, ValueError):
            found = None
        self.known[name] = found

    def own(self, name: str) -> int | None:
        """Return what a name holds next to the literal: among the keywords of its call, the fields of its class, its constants."""
        if name not in self.known:
            bound = self.graph.bindings(name, self.scope.slot)
            single = bound[0] if len(bound) == 1 and bound[0].kind is BindingKind.VALUE else None
            self.known[name] = None
            if single is not None and single.value:
                self._keep(name, single.value)
        return self.known[name]

    def truth(self, test: ast.expr) -> bool | None:
        """Evaluate an assert; None when a name of it is not known."""
        if isinstance(test, ast.BoolOp):
            found = [self.truth(value) for value in test.values]
            if isinstance(test.op, ast.And):
                return False if False in found else None if None in found else True
            return True if True in found else None if None in found else False
        if not isinstance(test, ast.Compare) or len(test.ops) != 1 or type(test.ops[0]) not in _OPERATORS:
            return None
        left, right = self._number(test.left, _DEPTH), self._number(test.comparators[0], _DEPTH)
        return bool(_OPERATORS[type(test.ops[0])](left, right)) if left is not None and right is not None else None

    def _number(self, expression: ast.expr, depth: int) -> int | None:
        if isinstance(expression, ast.Constant):
            return expression.value if type(expression.value) is int else None
        if isinstance(expression, ast.Attribute):
            return self._named(expression.attr, depth)
        if isinstance(expression, ast.Name):
            return self._named(expression.id, depth)
        if isinstance(expression, ast.BinOp):
            left, right = self._number(expression.left, depth), self._number(expression.right, depth)
            if left is None or right is None:
                return None
            if isinstance(expression.op, ast.Pow):
                return left**right if 0 <= right < 64 and abs(left) <= 64 else None
            divides = isinstance(expression.op, ast.FloorDiv | ast.Mod)
            known = _OPERATORS.get(type(expression.op))
            return None if known is None or (divides and not right) else int(known(left, right))
        return None

    def _named(self, name: str, depth: int) -> int | None:
        if name in self.known or not depth:
            return self.known.get(name)
        found = self.own(name)
        return found if found is not None else self._imported(name, depth)

    def _imported(self, name: str, depth: int) -> int | None:
        """Follow an import of a constant to the module that states it."""
        for bound in self.graph.bindings(name, self.scope.slot):
            for slot in self.graph.targets(bound.slot, EdgeKind.IMPORTS) if bound.kind is BindingKind.IMPORT else ():
                stated = self.graph.bindings(self.graph.nodes[slot].label, slot.partition(":")[0])
                if len(stated) == 1 and stated[0].kind is BindingKind.VALUE:
                    try:
                        return self._number(ast.parse(stated[0].value.strip(), mode="eval").body, depth - 1)
                    except (SyntaxError, ValueError):
                        return None
        return None
