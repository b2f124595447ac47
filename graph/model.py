"""What the code graph is made of: nodes and edges.

A node is a place in the sources that an edit, a policy or a person may want to name: a module, a class, a function, a parameter, a
statement, a call, an operator, a literal. Edges say what contains, imports, defines, calls, reads, writes or inherits what. Every edge
is resolved or says that it is not: what the resolver cannot follow is an `unresolved` edge, never a guess.

Identity. A node's *slot* names it for people and for statistics: `layers:MLP.forward/call.gelu`, with `.1`, `.2` for the next equal
labels of the scope. Its *anchor* digests the statement that it stands in. An edit stores both: the anchor finds the node again when
others are inserted before it, and says that it is gone when its own statement changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class NodeKind(StrEnum):
    """What a node is."""

    MODULE = "module"  # a Python file
    CLASS = "class"
    FUNCTION = "function"  # a function or a method
    PARAMETER = "param"
    IMPORT = "import"  # one imported name
    VARIABLE = "var"  # a name that a module or a function binds
    ATTRIBUTE = "attr"  # a field of a class or an attribute that its methods set
    STATEMENT = "stmt"  # a statement; for a compound one, its header
    CALL = "call"
    OPERATOR = "op"  # a binary operator, a comparison, a boolean operator
    LITERAL = "literal"  # a number, a string, True, False
    EXTERNAL = "external"  # something outside the sources, by its import path
    ERROR = "error"  # a file that does not parse


class EdgeKind(StrEnum):
    """What an edge says of its source and its destination."""

    CONTAINS = "contains"  # the source encloses the destination
    DEFINES = "defines"  # a module or class binds a class, function or parameter
    IMPORTS = "imports"  # an import binds a module, class, function or external
    INHERITS = "inherits"  # a class has a base
    CALLS = "calls"  # a call site runs a function, class or external
    READS = "reads"  # a statement uses a variable, a parameter, an attribute or an import
    WRITES = "writes"  # a statement binds a variable or an attribute
    UNRESOLVED = "unresolved"  # a call or base that could not be followed; the destination is its text


@dataclass(frozen=True, slots=True)
class Node:
    """One place in the sources. `path` is empty for externals; offsets are bytes."""

    slot: str
    kind: NodeKind
    path: str
    start: int
    end: int
    scope: str  # slot of the enclosing module, class or function; empty for modules and externals
    label: str  # the name or the operator: `gelu`, `add`, `lr`
    anchor: str = ""
    role: str = ""  # what a literal or call is there for: `field`, `argument`, `default`, `operand`, ...

    @property
    def module(self) -> str:
        """The dotted module name."""
        return self.slot.partition(":")[0]


@dataclass(frozen=True, slots=True)
class Edge:
    """One fact between two slots."""

    source: str
    target: str
    kind: EdgeKind
