"""What is known of one file by itself: its tree, its nodes, and the names that its scopes bind."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import tree_sitter_python
from tree_sitter import Language, Parser

from graph.facts import EMPTY
from graph.model import NodeKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tree_sitter import Node as SyntaxNode
    from tree_sitter import Tree

    from graph.facts import FileFacts
    from graph.model import Node

_COOKIE = re.compile(rb"coding[:=][ \t]*(?!utf-?8)[-\w.]+", re.IGNORECASE)
_STEP = 256  # bytes compared at once
_LANGUAGE = Language(tree_sitter_python.language())
BLOCKS = frozenset(
    {"block", "elif_clause", "else_clause", "except_clause", "except_group_clause", "finally_clause", "case_clause"}
)


class BindingKind(StrEnum):
    """How a name came to its value."""

    IMPORT = "import"
    CLASS = "class"
    FUNCTION = "function"
    PARAMETER = "param"
    VALUE = "value"  # name = expression
    OPAQUE = "opaque"  # for, unpacking, with, except, augmented: there is no expression with that value


@dataclass(frozen=True, slots=True)
class Binding:
    """One place where a scope binds a name."""

    kind: BindingKind
    slot: str  # of the node that stands for the name
    scope: str
    value: str = ""  # the source of the expression bound, where it is short
    target: str = ""  # of an import: the absolute dotted path


@dataclass(slots=True)
class Scope:
    """A module, class or function: what it binds and, for a class, the attributes that its methods set on self."""

    slot: str
    kind: NodeKind
    parent: str
    bindings: dict[str, list[Binding]] = field(default_factory=lambda: defaultdict(list))
    attributes: dict[str, str] = field(default_factory=dict)  # name -> slot

    def binds_as(self, other: Scope | None) -> bool:
        """Whether another scope binds the same names to the same nodes."""
        return self is other or (
            other is not None and self.bindings.keys() == other.bindings.keys()
            and all([b.slot for b in found] == [b.slot for b in other.bindings[name]] for name, found in self.bindings.items())
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Unit:
    """A function of a module or class as it was read: kept, and moved, as long as its text stays."""

    text: bytes
    start: int
    nodes: tuple[Node, ...]  # of what stands in it
    parents: Mapping[str, str]
    scopes: tuple[Scope, ...]  # its own first
    names: frozenset[tuple[str, str]]
    attributes: tuple[tuple[str, int, int], ...]  # what it sets on its first parameter
    named: tuple[tuple[str, int, int], ...]  # what it sets by a call with the name


class Cut(NamedTuple):
    """Where a file may be cut: a top-level statement or a member of a top-level class, and the class that it belongs to."""

    start: int  # of its line, in bytes
    owner: int = -1  # where the class starts whose member or header it is
    header: bool = False


@dataclass(frozen=True)
class FileSyntax:
    """Everything that one file says by itself."""

    path: str
    module: str
    data: bytes
    tree: Tree
    nodes: tuple[Node, ...]
    parents: Mapping[str, str]  # slot -> slot of the directly enclosing node
    scopes: Mapping[str, Scope]
    unbound: frozenset[str]  # names that nothing binds: undefined unless a star import brings them
    error: str = ""
    facts: FileFacts = EMPTY  # what the resolver reads
    units: Mapping[str, Unit] = field(default_factory=dict)  # by the slot of the function

    @cached_property
    def by_slot(self) -> Mapping[str, Node]:
        """The nodes by slot."""
        return {node.slot: node for node in self.nodes}

    @cached_property
    def cuts(self) -> tuple[Cut, ...]:
        """Where the file may be cut; nowhere but at its start when it is not UTF-8 or the parser did not understand all of it."""
        plain = not self.tree.root_node.has_error and not _COOKIE.search(self.data[:400])
        return tuple(_cuts(self.tree.root_node, self.data)) if plain else (Cut(0),)


def _cuts(root: SyntaxNode, data: bytes) -> Iterator[Cut]:
    yield Cut(0)
    last = 0
    for child in parts(root):
        definition = child.child_by_field_name("definition") if child.type == "decorated_definition" else child
        owner = definition if definition is not None and definition.type == "class_definition" else None
        start = data.rfind(b"\n", 0, child.start_byte) + 1
        if start > last:
            yield Cut(start, start if owner is not None else -1, header=owner is not None)
            last = start
        body = owner.child_by_field_name("body") if owner is not None and start else None
        for member in parts(body) if body is not None else ():
            at = data.rfind(b"\n", 0, member.start_byte) + 1
            if at > last:
                yield Cut(at, start)
                last = at


def lookup(name: str, scope: str, scopes: Mapping[str, Scope]) -> tuple[Binding, ...]:
    """Return the bindings of a name as seen from a scope; class bodies are seen from themselves alone."""
    first = scope
    while scope:
        found = scopes[scope]
        if name in found.bindings and (found.kind is not NodeKind.CLASS or scope == first):
            return tuple(found.bindings[name])
        scope = found.parent
    return ()


def module_name(path: str) -> str:
    """Return the dotted name of a file below the root: `a/b.py` is a.b, `a/__init__.py` is a."""
    parts = path.removesuffix(".py").split("/")
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


def parse_tree(data: bytes) -> Tree:
    """Parse Python source into a tree-sitter tree."""
    return Parser(_LANGUAGE).parse(data)


def parse_again(data: bytes, before: bytes, tree: Tree) -> Tree:
    """Parse the next version of a source, reusing what the older tree knows of the bytes that stay."""
    size = min(len(data), len(before))
    start = next((i for i in range(0, size, _STEP) if data[i : i + _STEP] != before[i : i + _STEP]), size)
    start = next((i for i in range(start, min(start + _STEP, size)) if data[i] != before[i]), min(start, size))
    end = 0
    while end + _STEP <= size - start and _tail(data, end) == _tail(before, end):
        end += _STEP
    old = tree.copy()
    old.edit(
        start, len(before) - end, len(data) - end, _point(before, start), _point(before, len(before) - end), _point(data, len(data) - end)
    )  # fmt: skip
    return Parser(_LANGUAGE).parse(data, old)


def _tail(data: bytes, end: int) -> bytes:
    return data[len(data) - end - _STEP : len(data) - end]


def _point(data: bytes, offset: int) -> tuple[int, int]:
    return data.count(b"\n", 0, offset), offset - data.rfind(b"\n", 0, offset) - 1


def dotted(syntax: SyntaxNode) -> str:
    """Return `a.b.c` for a chain of names, else nothing."""
    if syntax.type == "identifier":
        return text_of(syntax)
    if syntax.type == "attribute":
        base = dotted(field_of(syntax, "object"))
        return f"{base}.{text_of(field_of(syntax, 'attribute'))}" if base else ""
    return ""


def header_end(syntax: SyntaxNode) -> int:
    """Return the offset where the header of a statement ends: before its block, or its own end."""
    body = next((child for child in syntax.children if child.type in BLOCKS), None)
    return syntax.end_byte if body is None else body.start_byte


def text_of(syntax: SyntaxNode) -> str:
    """Return the source of a syntax node."""
    return (syntax.text or b"").decode()


def field_of(syntax: SyntaxNode, name: str) -> SyntaxNode:
    """Return a child that the grammar guarantees."""
    child = syntax.child_by_field_name(name)
    if child is None:  # the file compiles, so the grammar's field is there
        raise ValueError(f"{syntax.type} at byte {syntax.start_byte} has no {name}")
    return child


def parts(syntax: SyntaxNode) -> list[SyntaxNode]:
    """Return the named children that are no comments."""
    return [child for child in syntax.named_children if child.type != "comment"]


def descend(syntax: SyntaxNode) -> Iterator[SyntaxNode]:
    """Walk a node and everything below it."""
    yield syntax
    for child in syntax.named_children:
        yield from descend(child)


def comments(tree: Tree) -> Counter[bytes]:
    """Count the comments of a source."""
    return Counter(node.text or b"" for node in descend(tree.root_node) if node.type == "comment")
