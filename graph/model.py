"""What the code graph is made of: nodes and edges.

A node is a place in the sources that an edit, a policy or a person may want to name: a module, a class, a function, a parameter, a
statement, a call, an operator, a literal. Edges say what contains, imports, defines, calls, reads, writes or inherits what, by which
rule that was found out, and how sure it is. What the resolver cannot follow is an `unresolved` edge, never a guess.

Identity. A node's *slot* names it for people and for statistics: `layers:MLP.forward/call.gelu`, with `.1`, `.2` for the next equal
labels of the scope. Its *anchor* digests the statement that it stands in. An edit stores both: the anchor finds the node again when
others are inserted before it, and says that it is gone when its own statement changed.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class NodeKind(StrEnum):
    """What a node is."""

    MODULE = "module"  # a Python file
    CLASS = "class"
    FUNCTION = "function"  # a function or a method
    LAMBDA = "lambda"  # a function without a name; what stands in it keeps the scope of the function around it
    PARAMETER = "param"
    IMPORT = "import"  # one imported name
    VARIABLE = "var"  # a name that a module or a function binds
    ATTRIBUTE = "attr"  # a field of a class or an attribute that its methods set
    STATEMENT = "stmt"  # a statement; for a compound one, its header
    CALL = "call"
    OPERATOR = "op"  # a binary operator, a comparison, a boolean operator
    LITERAL = "literal"  # a number, a string, True, False
    CONFIG = "config"  # a command-line option, or a key of a configuration file or dictionary
    DIMENSION = "dim"  # a size that several sites must agree on
    ROLE = "role"  # a part in the training step: forward, loss, backward, step, zero_grad, clip, schedule, evaluation
    EXTERNAL = "external"  # something outside the sources, by its import path
    ERROR = "error"  # a file that does not parse


class EdgeKind(StrEnum):
    """What an edge says of its source and its destination."""

    CONTAINS = "contains"  # the source encloses the destination
    DEFINES = "defines"  # a module, class or function binds a class, function, parameter or attribute
    IMPORTS = "imports"  # an import binds a module, class, function, variable or external
    INHERITS = "inherits"  # a class has a base
    OVERRIDES = "overrides"  # a method replaces the method of a base
    CALLS = "calls"  # a call site, or a statement that does it implicitly, runs a function or external
    INSTANTIATES = "instantiates"  # a call site makes an instance of a class of ours
    DECORATES = "decorates"  # a function, class or external wraps a definition
    READS = "reads"  # a statement uses a variable, a parameter, an attribute or an import
    WRITES = "writes"  # a statement binds a variable or an attribute
    DEF_USE = "def-use"  # the value that a statement (or parameter) binds reaches a statement that uses it
    ARGUMENT = "argument"  # a call site gives a parameter its value
    RETURNS = "returns"  # calling a function gives the class (an instance of it) or the function
    CONFIGURES = "configures"  # a configuration field, option or key reaches a statement that reads it
    SUBMODULE = "submodule"  # an attribute of an nn.Module holds a module of that class
    REGISTERS = "registers"  # an attribute of an nn.Module is a parameter or a buffer
    OPTIMIZES = "optimizes"  # an optimizer's call site takes the parameters of a module class
    SHAPES = "shapes"  # a dimension sets the size at a site
    PLAYS = "plays"  # a call site has a role in the training step
    UNDER = "under"  # a call site runs in a dtype, device or gradient context
    UNRESOLVED = "unresolved"  # a call or base that could not be followed; the destination is its text


class Confidence(StrEnum):
    """How sure an edge is."""

    EXACT = "exact"  # names, imports and inheritance alone decide it
    INFERRED = "inferred"  # values were followed through assignments, parameters, returns, attributes or containers
    MAY = "may"  # a library may do it, or one of many values


class Rule(StrEnum):
    """By which rule a call was resolved."""

    NAME = "name"  # the name is bound to a function or class, or imported
    MEMBER = "member"  # a member of a module or class: `optim.step`, `Model.make`
    METHOD = "method"  # a method of an instance of ours, found along its bases
    FLOW = "flow"  # a value that came through variables, parameters, returns, attributes or containers
    MODULE_CALL = "module-call"  # calling an nn.Module runs its forward
    PROTOCOL = "protocol"  # an operator or statement runs a dunder: iteration, `with`, indexing, calling an instance
    PROPERTY = "property"  # an attribute access runs a getter or setter
    DECORATOR = "decorator"  # decorating runs the decorator
    PARTIAL = "partial"  # functools.partial holds it
    HANDED = "handed"  # it was given to a function that is known to run it: map, sorted, Thread, DataLoader
    CALLBACK = "callback"  # it was given to library code, which may run it
    OVERRIDE = "override"  # the method that a subclass puts in its place
    REGISTRY = "registry"  # picked out of a module or dictionary by a name that is only known when it runs
    EXTERNAL = "external"  # a library function, by its import path


class Node(NamedTuple):
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


class Edge(NamedTuple):
    """One fact between two slots; the source of a call is its site."""

    source: str
    target: str
    kind: EdgeKind
    confidence: Confidence = Confidence.EXACT
    rule: str = ""  # a Rule for calls and what calls imply
