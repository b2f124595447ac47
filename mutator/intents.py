"""Intents: what an edit wants changed, said about nodes and not about bytes. `mutator.render` lowers them to one patch.

Text of several lines is indented by four spaces a level and from column 0; the renderer puts it at the anchor's indentation, in the
file's indent unit and newlines.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    import libcst

    from graph.model import Node


class Span(NamedTuple):
    """An expression that is no node of the graph, such as a name: its place in the sources, in bytes."""

    path: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class ReplaceExpr:
    """Put an expression in the place of another; parentheses are added where precedence needs them."""

    node: Node | Span
    text: str


@dataclass(frozen=True, slots=True)
class ReplaceStmt:
    """Put statements in the place of one: of a compound statement its header and block. A comment behind it stays."""

    node: Node
    text: str


@dataclass(frozen=True, slots=True)
class InsertStmt:
    """Put statements on lines of their own next to one, at its indentation. Of several at one place the lower `order` comes first."""

    anchor: Node
    text: str
    before: bool = False
    order: int = 0


@dataclass(frozen=True, slots=True)
class DeleteStmt:
    """Take a statement out with its line; what would be an empty block becomes `pass`. Comments behind it or in it go too."""

    node: Node


@dataclass(frozen=True, slots=True)
class WrapStmts:
    """Put a run of statements of one block, from `first` to `last`, under a header: `with torch.no_grad():`, `for _ in range(2):`."""

    first: Node
    last: Node
    header: str


@dataclass(frozen=True, slots=True)
class EnsureImport:
    """Have a name at the top of a site's file, seen by the site; nothing changes when it is.

    `import module as alias`; `import module` when the alias is the module; `from module import name as alias` when there is a name.
    """

    site: Node
    module: str
    alias: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class AddParam:
    """Give a function one more parameter with a default, after the ones it has."""

    function: Node
    name: str
    default: str


@dataclass(frozen=True, slots=True)
class AddField:
    """Give a dataclass one more field with a default, after the ones it has."""

    owner: Node
    name: str
    annotation: str
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


@dataclass(frozen=True, slots=True)
class RewriteUnit:
    """Rewrite one function or class with a libcst transformer; only the bytes that it changed are replaced.

    For what the other intents cannot say; milliseconds instead of microseconds. The transformer is made anew for each rendering.
    """

    unit: Node
    transformer: Callable[[], libcst.CSTTransformer]


@dataclass(frozen=True, slots=True)
class Promise:
    """Change nothing, but see to it that later edits of the same unit keep a property (see mutator.promises for what may be said).

    `unit` is the slot of a function, or of a module for what stands outside its functions and classes: "train:main".
    """

    unit: str
    property: str


Intent = (
    ReplaceExpr | ReplaceStmt | InsertStmt | DeleteStmt | WrapStmts | EnsureImport | AddParam | AddField | RenameCallee
    | SetArg | DropArgs | RewriteUnit | Promise
)  # fmt: skip
