"""The expected-tree check: around the replaced bytes, the syntax tree of the new source is that of the old one.

A raw operator swap changes the shape of the tree in 12 % of cases (precedence), and `compile()` accepts every one of them. So both trees
are walked side by side with holes where bytes were replaced: what was inserted or deleted is left out of its list, what was replaced is
a hole, and the rest must be equal.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from mutator.chunks import read_code

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mutator.patch import Replacement

_HOLE = "hole"


@lru_cache(maxsize=4096)
def keeps_surroundings(data: bytes, replacements: tuple[Replacement, ...]) -> bool:
    """Whether the replacements, sorted and planned on these bytes, leave the tree around them as it was.

    Returns: False as well when the new source is not Python.
    """
    new: list[bytes] = []
    spans: list[tuple[int, int]] = []
    position = shift = 0
    for r in replacements:
        new += (data[position : r.start], r.new)
        spans.append((r.start + shift, r.start + shift + len(r.new)))
        position, shift = r.end, shift + len(r.new) - len(r.expect)
    source = b"".join((*new, data[position:]))
    swapped = [bool(r.expect and r.new) for r in replacements]
    old_spans = [(r.start, r.end) for r in replacements]
    try:
        return _masked(data, old_spans, swapped).shape() == _masked(source, spans, swapped).shape()
    except (SyntaxError, ValueError, RecursionError):
        return False


def fill(template: str, **holes: str) -> str:
    """Write expressions into a template such as `{left} * {right}`, with parentheses around those that would fall apart without."""
    names = {name: name for name in holes}
    whole = {
        name: text if _stays_whole(template, {**names, name: text}, name) else f"({text})"
        for name, text in holes.items()
    }
    return template.format(**whole)


def _stays_whole(template: str, texts: dict[str, str], hole: str) -> bool:
    part = ast.parse(f"({texts[hole]})", mode="eval").body
    wanted = _Fill(hole, part).visit(ast.parse(template.format(**{name: name for name in texts}), mode="eval"))
    try:
        return ast.dump(wanted) == ast.dump(ast.parse(template.format(**texts), mode="eval"))
    except SyntaxError:
        return False


class _Fill(ast.NodeTransformer):
    def __init__(self, name: str, part: ast.expr) -> None:
        self.name, self.part = name, part

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return self.part if node.id == self.name else node


@dataclass(frozen=True, slots=True)
class _Masked:
    """One side of the comparison: a source with holes. Equal sides have equal `shape()`."""

    data: bytes
    spans: Sequence[tuple[int, int]]
    swapped: Sequence[bool]  # a hole stays where bytes were swapped; what was inserted or deleted leaves none
    lines: tuple[int, ...]
    tree: ast.Module

    def shape(self) -> object:
        """Return the statements: as they stand where no hole is near, else as a tree with holes."""
        return self._walk_all(self.tree.body, len(self.data))

    def _start(self, node: ast.stmt | ast.expr) -> int:
        decorators = getattr(node, "decorator_list", ())
        return self._place(decorators[0] if decorators else node)[0]

    def _place(self, node: ast.AST) -> tuple[int, int]:
        start = self.lines[getattr(node, "lineno", 1) - 1] + getattr(node, "col_offset", 0)
        return start, self.lines[getattr(node, "end_lineno", 1) - 1] + getattr(node, "end_col_offset", 0)

    def _hole(self, node: ast.AST) -> bool | None:
        """Return None outside every span, else whether the span swaps one thing for another."""
        if not hasattr(node, "lineno"):
            return None
        start, end = self._place(node)
        inside = (swap for (a, b), swap in zip(self.spans, self.swapped, strict=True) if a <= start and end <= b)
        return next(inside, None)

    def _walk(self, value: object, reach: int) -> object:
        """Return the shape of a value; `reach` is where the next statement starts, up to which an insertion may belong to it."""
        if isinstance(value, list):
            return self._walk_all(value, reach)
        if not isinstance(value, ast.AST):
            return value
        if self._hole(value) is not None:
            return _HOLE
        if isinstance(value, (ast.stmt, ast.expr)):
            start, end = self._start(value), self._place(value)[1]
            last_byte = reach if isinstance(value, ast.stmt) else end
            if not any(first <= last_byte and start <= last for first, last in self.spans):
                return type(value).__name__, self.data[start:end]  # equal text is an equal tree
        return (type(value).__name__, *(self._walk(getattr(value, name, None), reach) for name in value._fields))

    def _walk_all(self, values: Sequence[object], reach: int) -> tuple[object, ...]:
        """Walk a list; statements may be swapped for more or fewer of them."""
        kept = [v for v in values if not isinstance(v, ast.AST) or self._hole(v) is not False]
        found: list[object] = []
        for index, value in enumerate(kept):
            following = kept[index + 1] if index + 1 < len(kept) else None
            shape = self._walk(value, self._start(following) if isinstance(following, ast.stmt) else reach)
            if shape is not _HOLE or found[-1:] != [_HOLE] or not isinstance(value, ast.stmt):
                found.append(shape)
        return tuple(found)


def _masked(data: bytes, spans: Sequence[tuple[int, int]], swapped: Sequence[bool]) -> _Masked:
    tree, lines = read_code(data)
    return _Masked(data, spans, swapped, lines, tree)
