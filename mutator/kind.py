"""What an edit kind is: where it applies, what may be chosen there, and what it then plans; with its examples, which are its tests.

A kind is one small file in mutator/kinds. It asks the graph and answers with intents; it never touches bytes. Its examples are run by the
conformance kit and printed by `codegraft kinds NAME`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from mutator.edit import EditError, Scalar

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from graph.code_graph import CodeGraph
    from graph.model import Node
    from mutator.intents import Intent

Choice = tuple[tuple[str, Scalar], ...]
"""What is chosen at a site: (name, value) pairs, sorted by name; empty where there is nothing to choose."""


class Reason(StrEnum):
    """Why an edit is refused."""

    NO_SITE = "no-site"  # the kind does not apply to this node
    NO_CHOICE = "no-choice"  # the choice is none of those that the site offers
    FROZEN = "frozen"  # the file is frozen
    PROTECTED = "protected"  # the statement belongs to the budget, the seed or the measuring
    NAME_CLASH = "name-clash"  # a name that the edit needs means something else there
    SHARED_LINE = "shared-line"  # the statement shares its line with another
    BROKEN = "broken"  # the result does not compile, changes its surroundings or leaves a name unbound


class Refused(EditError):
    """An edit that is refused, with the reason."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


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


class EditKind(Protocol):
    """One sort of edit. The docstring says what it does, why one would, and the source of the idea."""

    @property
    def name(self) -> str:
        """A verb in kebab-case: `swap-optimizer`."""
        ...

    @property
    def examples(self) -> tuple[Example, ...]:
        """Edits that must apply and give exactly this."""
        ...

    @property
    def refusals(self) -> tuple[Refusal, ...]:
        """Edits that must be refused."""
        ...

    def sites(self, graph: CodeGraph) -> Iterable[Node]:
        """Return the nodes to which the kind applies, in source order. Frozen and protected ones are left out by the grammar."""
        ...

    def choices(self, graph: CodeGraph, site: Node) -> tuple[Choice, ...]:
        """Return every choice at one of its sites; each must plan, render and compile."""
        ...

    def plan(self, graph: CodeGraph, site: Node, choice: Choice) -> tuple[Intent, ...]:
        """Say what the edit changes, in terms of the graph."""
        ...
