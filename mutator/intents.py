"""Intents: what an edit wants changed, said about nodes and not about bytes. `mutator.render` lowers them to one patch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from graph.model import Node


@dataclass(frozen=True, slots=True)
class ReplaceExpr:
    """Put an expression in the place of another; parentheses are added where precedence needs them."""

    node: Node
    text: str


@dataclass(frozen=True, slots=True)
class InsertStmt:
    """Put a statement on a line of its own next to another one, at its indentation."""

    anchor: Node
    text: str
    before: bool = False


@dataclass(frozen=True, slots=True)
class EnsureImport:
    """Have `import module as alias` (or `import module`) at the top of a site's file, seen by the site; nothing changes when it is."""

    site: Node
    module: str
    alias: str


@dataclass(frozen=True, slots=True)
class AddParam:
    """Give a function one more parameter with a default, after the ones it has."""

    function: Node
    name: str
    default: str


@dataclass(frozen=True, slots=True)
class RenameCallee:
    """Call something else with the same arguments."""

    call: Node
    function: str


@dataclass(frozen=True, slots=True)
class SetArg:
    """Give a call a keyword argument, or a new value for the one it has."""

    call: Node
    name: str
    text: str


@dataclass(frozen=True, slots=True)
class DropArgs:
    """Take keyword arguments out of a call."""

    call: Node
    names: tuple[str, ...]


Intent = ReplaceExpr | InsertStmt | EnsureImport | AddParam | RenameCallee | SetArg | DropArgs
