"""Places: which node of a file a tree node of the compiler is, and what it says there.

Calls, statements, scopes, imports and options are found by their byte offsets, which the compiler tells by line and column.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from graph.model import NodeKind

if TYPE_CHECKING:
    from collections.abc import Iterable

    from graph.model import Node

_KEY_CHARACTERS = 80  # longer strings are text, not keys
_KEY_INTEGER = 1000
_STATEMENT_KINDS = (NodeKind.STATEMENT, NodeKind.FUNCTION, NodeKind.CLASS, NodeKind.LAMBDA)


class Places:
    """The slots of one file, by where they stand."""

    def __init__(self, data: bytes, nodes: Iterable[Node]) -> None:
        self.data = data
        self.lines = _line_starts(data)
        self.calls: dict[tuple[int, int], str] = {}
        self.statements: dict[int, str] = {}
        self.scopes: dict[int, str] = {}
        self.import_slots: dict[tuple[int, str], str] = {}
        self.options: dict[int, Node] = {}
        self.variables: set[str] = set()
        self._index(nodes)

    def _index(self, nodes: Iterable[Node]) -> None:
        for node in nodes:
            if node.kind is NodeKind.CALL:
                self.calls[node.start, node.end] = node.slot
            elif node.kind is NodeKind.CONFIG:
                self.options[node.start] = node
            elif node.kind in (NodeKind.VARIABLE, NodeKind.ATTRIBUTE):
                self.variables.add(node.slot)
            elif node.kind is NodeKind.IMPORT:
                self.import_slots[node.start, node.label] = node.slot
                self.statements.setdefault(node.start, node.slot)
            elif node.kind in _STATEMENT_KINDS:
                self.statements.setdefault(node.start, node.slot)
                if node.kind is not NodeKind.STATEMENT:
                    self.scopes[node.start] = node.slot

    def start(self, node: ast.expr | ast.stmt | ast.keyword) -> int:
        """Return the byte offset of a tree node."""
        return self.lines[node.lineno - 1] + node.col_offset

    def end(self, node: ast.expr | ast.stmt) -> int:
        """Return the byte offset behind a tree node."""
        return self.lines[(node.end_lineno or node.lineno) - 1] + (node.end_col_offset or 0)

    def slot_of_call(self, node: ast.Call) -> str:
        """Return the slot of a call's node; empty where it has none."""
        return self.calls.get((self.start(node), self.end(node)), "")

    def option_at(self, node: ast.expr | ast.keyword) -> Node | None:
        """Return the option or key that an expression states."""
        return self.options.get(self.start(node))

    def text_of(self, node: ast.AST) -> str:
        """Return the source of an expression, shortened."""
        parts: list[str] = []
        current = node
        while isinstance(current, ast.Attribute):
            parts.append(current.attr)
            current = current.value
        if isinstance(current, ast.Name):
            return ".".join((current.id, *reversed(parts)))
        if not isinstance(node, ast.expr):
            return ""
        return self.data[self.start(node) : self.end(node)].decode(errors="replace").split("(")[0].split("\n")[0][:60]


def key_of(node: ast.expr | None) -> str:
    """Return a literal string or small integer as a key, else nothing."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and isinstance(node.operand, ast.Constant):
        return f"-{key}" if (key := key_of(node.operand)).isdigit() else ""
    if not isinstance(node, ast.Constant):
        return ""
    if isinstance(node.value, str):
        return repr(node.value) if len(node.value) <= _KEY_CHARACTERS else ""
    if isinstance(node.value, int) and not isinstance(node.value, bool) and node.value < _KEY_INTEGER:
        return str(node.value)
    return ""


def _line_starts(data: bytes) -> list[int]:
    """Return the byte offset of each line as the compiler counts them; a byte order mark is no column of the first."""
    first = 3 if data.startswith(b"\xef\xbb\xbf") else 0
    starts = [first]
    place = data.find(b"\n")
    if b"\r" not in data:
        while place >= 0:
            starts.append(place + 1)
            place = data.find(b"\n", place + 1)
        return starts
    for index, byte in enumerate(data):
        if byte == 0x0A or (byte == 0x0D and data[index + 1 : index + 2] != b"\n"):
            starts.append(index + 1)
    return starts
