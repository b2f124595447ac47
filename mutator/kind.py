"""What an edit kind is: where it applies, what may be chosen there, and what it then plans; with its examples, which are its tests.

A kind is one small file in mutator/kinds. It asks the graph and answers with intents; it never touches bytes. Its examples are run by the
conformance kit and printed by `codegraft kinds NAME`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Self

from graph.model import NodeKind
from mutator.edit import EditError, Scalar

if TYPE_CHECKING:
    from collections.abc import Mapping

    from graph.code_graph import CodeGraph
    from graph.model import Node
    from mutator.domain import Domain
    from mutator.intents import Intent


class Family(StrEnum):
    """What sort of change a kind makes."""

    LITERAL = "literal"
    OPERATOR = "operator"
    CALL = "call"  # another callee, or other arguments
    INSERT = "insert"
    DELETE = "delete"  # deletion, unwrapping, wrapping, reordering
    BLOCK = "block"  # whole layers and the dimensions that several sites share
    REFACTOR = "refactor"  # preserves behaviour; makes later edits reachable


class Reason(StrEnum):
    """Why an edit is refused."""

    says: str
    """The reason in words."""

    def __new__(cls, value: str, says: str) -> Self:
        """Make a reason of its name and its words."""
        reason = str.__new__(cls, value)
        reason._value_ = value
        reason.says = says
        return reason

    NO_SITE = "no-site", "the kind does not apply to this node"
    NO_CHOICE = "no-choice", "the choice is none of those that the site offers"
    FROZEN = "frozen", "the file is frozen"
    PROTECTED = "protected", "the statement belongs to the budget, the seed or the measuring"
    FORBIDDEN = "forbidden", "the manifest forbids the kind, or edits of the unit"
    CONTRACT = "contract", "the metric assumes it: causality, the units of the loss"
    NO_QUANTITY = "no-quantity", "a number or operator that indexes, counts positions or shapes a tensor"
    UNKNOWN_VALUE = "unknown-value", "what is called, passed or held cannot be followed"
    SHAPE = "shape", "tensors would not fit"
    ARITY = "arity", "the callee does not take these arguments"
    ALREADY = "already", "it is there already: clipped, normalised, tied, dropped out"
    NO_EFFECT = "no-effect", "nothing would change"
    ORDER = "order", "the statements depend on each other, or what is needed is not bound yet"
    SHARED = "shared", "the code also serves the evaluation, heirs or callers that must not change"
    NAME_CLASH = "name-clash", "a name that the edit needs means something else there"
    SHARED_LINE = "shared-line", "the statement shares its line with another"
    ASSERTION = "assertion", "an assert of the target would fail"
    PROMISE = "promise", "an earlier edit needs what this one would undo"
    MISSING_IMPORT = "missing-import", "a module that is not installed"
    CONFLICT = "conflict", "two edits touch the same bytes"
    BROKEN = "broken", "the result does not compile, changes its surroundings or leaves a name unbound"


class Refused(EditError):
    """An edit that is refused, with the reason."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason

    def __reduce__(self) -> tuple[type[Refused], tuple[Reason, str]]:
        return Refused, (self.reason, str(self))  # so that another process can send it


@dataclass(frozen=True, slots=True)
class Example:
    """Sources, an edit, and the sources afterwards (only those that change)."""

    before: Mapping[str, str]
    edit: str
    after: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Refusal:
    """Sources and an edit that must be refused, and why."""

    before: Mapping[str, str]
    edit: str
    reason: Reason


class EditKind(ABC):
    """One sort of edit. The docstring says what it does, why one would, and the source of the idea.

    Write a class that derives from this one and fill in the rest; an instance is all that a grammar needs.
    """

    name: str
    """A verb in kebab-case: `swap-optimizer`."""

    family: Family

    at: NodeKind
    """What sort of node a site is."""

    examples: tuple[Example, ...]
    """Edits that must apply and give exactly this."""

    refusals: tuple[Refusal, ...]
    """Edits that must be refused."""

    version: int = 1
    """Raised when equal choices come to mean something else: an edit of another version is refused, never reinterpreted."""

    preserves: bool = False
    """Whether the program computes the same before and after."""

    @abstractmethod
    def domain(self, graph: CodeGraph, site: Node) -> Domain | Reason:
        """Say what may be chosen at a node, or why the kind does not apply there. Cheap tests first: it is asked of every node.

        Each choice must plan, render and verify. Frozen and protected nodes are left out by the grammar.
        """

    @abstractmethod
    def plan(self, graph: CodeGraph, site: Node, choice: Mapping[str, Scalar]) -> tuple[Intent, ...]:
        """Say what the edit changes, in terms of the graph; the choice is one of the domain."""
