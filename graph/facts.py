"""What one file says to the resolver, by itself: what it declares, and the constraints on its cells.

Nothing here has a position, so that a file whose literals or comments changed says the same and nothing is solved again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from graph.values import Arguments, Constraint


class Access(StrEnum):
    """How a function of a class body is reached through the class."""

    PLAIN = "plain"  # not in a class body
    METHOD = "method"
    STATIC = "static"
    CLASS = "class"
    PROPERTY = "property"


class Parameter(NamedTuple):
    """A parameter: its name, the cell where its argument arrives, and how it takes arguments."""

    name: str
    cell: str
    kind: str  # positional, either, keyword, star, double-star
    default: str = ""  # the cell of its default


@dataclass(frozen=True, slots=True)
class FunctionFacts:
    """What a caller has to know of a function or lambda."""

    slot: str
    parameters: tuple[Parameter, ...]
    access: Access
    setter: bool  # the setter of a property
    generator: bool
    passes: tuple[str, ...]  # names of the parameters that it may return as they are
    owner: str  # slot of the class whose body it stands in
    makes: bool = False  # returns a new instance of the class that it was called on


@dataclass(frozen=True, slots=True)
class ClassFacts:
    """What is known of a class without looking elsewhere."""

    slot: str
    scope: str  # scope in which its bases are looked up
    bases: tuple[str, ...]  # dotted names as written
    body: frozenset[str]  # names that the body binds
    attributes: frozenset[str]  # names that its methods set on self
    fields: tuple[str, ...]  # annotated names of the body, in order
    dataclass: bool
    abstract: bool  # has an abstractmethod


class Name(NamedTuple):
    """One static binding of a name: a class or function by slot, an import by path, an alias by dotted name, or any value."""

    kind: str  # class, function, import, alias, value
    target: str = ""


class Import(NamedTuple):
    """`import target` or `from base import name`, whose value goes to a cell. The name `*` stands for all public names."""

    cell: str
    base: str  # absolute dotted path
    name: str  # empty for a plain import
    slot: str  # of the import's node


class CallSite(NamedTuple):
    """A call: its site, the cell of its callee, how the callee is written, its arguments and the text of the callee."""

    site: str
    callee: str
    written: str  # name, bound (a name bound to a definition or import), member, other
    arguments: Arguments
    text: str


class Touch(NamedTuple):
    """An attribute that a statement reads or writes: the cell of its base, its name, and the cell of what is written."""

    statement: str
    base: str
    attr: str
    writes: bool
    cell: str = ""


class Element(NamedTuple):
    """An element that a statement reads: the cell of its container, and the cell where it goes."""

    statement: str
    base: str
    into: str


class NameUse(NamedTuple):
    """A name that a statement reads or writes: the scope that binds it, and the definitions that reach it."""

    statement: str
    scope: str
    name: str
    writes: bool
    definitions: tuple[str, ...] = ()


@dataclass(slots=True)
class UnitFacts:
    """What the body of one function says, or what stands outside of such bodies: kept as it is while its text stays."""

    constraints: dict[Constraint, None] = field(default_factory=dict)
    functions: dict[str, FunctionFacts] = field(default_factory=dict)  # those inside, and itself
    classes: dict[str, ClassFacts] = field(default_factory=dict)
    names: dict[str, dict[str, list[Name]]] = field(default_factory=dict)
    attributes: dict[str, set[str]] = field(default_factory=dict)  # names that it sets on the first parameter, by class
    imports: list[Import] = field(default_factory=list)
    free: set[str] = field(default_factory=set)  # names that no function around binds
    outside: set[str] = field(default_factory=set)
    called: set[str] = field(default_factory=set)
    sites: list[CallSite] = field(default_factory=list)
    touches: list[Touch] = field(default_factory=list)
    elements: list[Element] = field(default_factory=list)
    uses: list[NameUse] = field(default_factory=list)
    contexts: dict[str, tuple[str, ...]] = field(default_factory=dict)
    definitions: dict[str, str] = field(default_factory=dict)
    joins: dict[str, tuple[str, ...]] = field(default_factory=dict)
    decorators: list[tuple[str, str]] = field(default_factory=list)
    returns: dict[str, None] = field(default_factory=dict)
    returning: set[str] = field(default_factory=set)  # functions that return something that values say


@dataclass(frozen=True, slots=True)
class FileFacts:
    """All of it, for one file."""

    module: str
    package: bool  # an `__init__.py`
    parts: tuple[Mapping[Constraint, None], ...]  # constraints by unit
    units: Mapping[str, UnitFacts]  # by the slot of the function
    functions: Mapping[str, FunctionFacts]
    classes: Mapping[str, ClassFacts]
    names: Mapping[str, Mapping[str, tuple[Name, ...]]]  # scope -> name -> its bindings
    exports: tuple[str, ...] | None  # __all__
    imports: tuple[Import, ...]
    free: frozenset[str]  # names that the file uses and does not bind
    outside: frozenset[str]  # attributes that are set on something else than self
    called: frozenset[str]  # last components of what the file calls
    sites: tuple[CallSite, ...] = field(repr=False)
    accesses: tuple[Touch, ...] = field(repr=False)
    uses: tuple[NameUse, ...] = field(repr=False)
    elements: tuple[Element, ...] = field(repr=False)
    contexts: Mapping[str, tuple[str, ...]] = field(repr=False)  # `with` statement -> the cells of its context managers
    definitions: Mapping[str, str] = field(
        repr=False
    )  # definition cell -> slot of the statement or parameter that binds it
    joins: Mapping[str, tuple[str, ...]] = field(repr=False)  # loop cell -> definitions that come around
    decorators: tuple[tuple[str, str], ...] = field(repr=False)  # (cell of the decorator, slot of the definition)
    returns: Mapping[str, None] = field(repr=False)  # functions that return something

    def same_edges(self, other: FileFacts) -> bool:
        """Whether the edges of two versions are read from the same cells and declarations."""
        return all(getattr(self, name) == getattr(other, name) for name in _READ_BY_EDGES)


_READ_BY_EDGES = (
    "module", "functions", "classes", "names", "exports", "imports", "sites", "accesses", "uses", "elements", "contexts", "definitions",
    "joins", "decorators", "returns",
)  # fmt: skip
EMPTY = FileFacts(
    "", package=False, parts=(), units={}, functions={}, classes={}, names={}, exports=None, imports=(), free=frozenset(),
    outside=frozenset(), called=frozenset(), sites=(), accesses=(), uses=(), elements=(), contexts={}, definitions={}, joins={},
    decorators=(), returns={},
)  # fmt: skip
