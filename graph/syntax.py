"""What is known of one file by itself: its tree, its nodes, its scopes and the names that it binds and uses."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

import tree_sitter_python
from tree_sitter import Language, Parser

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tree_sitter import Node as SyntaxNode
    from tree_sitter import Tree

    from graph.model import Node, NodeKind

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
    ELEMENT = "element"  # for name in expression
    OPAQUE = "opaque"  # unpacking, with, except, augmented: the value is not followed


@dataclass(frozen=True, slots=True)
class Binding:
    """One place where a scope binds a name."""

    kind: BindingKind
    slot: str  # of the node that stands for the name
    scope: str
    value: SyntaxNode | None = None  # the expression bound; for a parameter its annotation
    target: str = ""  # of an import: the absolute dotted path


@dataclass(slots=True)
class Scope:
    """A module, class or function: what it binds and, for a class, the attributes that its methods set on self."""

    slot: str
    kind: NodeKind
    parent: str
    syntax: SyntaxNode
    bindings: dict[str, list[Binding]] = field(default_factory=lambda: defaultdict(list))
    attributes: dict[str, list[Binding]] = field(default_factory=lambda: defaultdict(list))
    returns: list[SyntaxNode] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Use:
    """A name or attribute that a statement reads, or an attribute that it writes."""

    owner: str
    scope: str
    syntax: SyntaxNode
    writes: bool = False


@dataclass(frozen=True, slots=True)
class FileSyntax:
    """Everything that one file says by itself."""

    path: str
    module: str
    data: bytes
    tree: Tree
    nodes: tuple[Node, ...]
    parents: Mapping[str, str]  # slot -> slot of the directly enclosing node
    scopes: Mapping[str, Scope]
    calls: tuple[Use, ...]
    uses: tuple[Use, ...]
    unbound: frozenset[str]  # names that nothing binds: undefined unless a star import brings them
    error: str = ""


def module_name(path: str) -> str:
    """Return the dotted name of a file below the root: `a/b.py` is a.b, `a/__init__.py` is a."""
    parts = path.removesuffix(".py").split("/")
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


def parse_tree(data: bytes) -> Tree:
    """Parse Python source into a tree-sitter tree."""
    return Parser(_LANGUAGE).parse(data)


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
