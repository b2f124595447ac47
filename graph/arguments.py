"""The arguments of a call site, each with its place in the source."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from graph.code_graph import CodeGraph
    from graph.model import Node


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument. `name` is empty for a positional one and `*` for a star; offsets in bytes, `value` is its expression."""

    name: str
    start: int
    end: int
    value_start: int
    value: str


@dataclass(frozen=True, slots=True)
class Call:
    """A call site taken apart: the callee expression as written, and what stands between the parentheses."""

    function: str
    function_end: int
    open: int  # offset after the opening parenthesis
    arguments: tuple[Argument, ...]

    def keyword(self, name: str) -> Argument | None:
        """Return the keyword argument of that name."""
        return next((argument for argument in self.arguments if argument.name == name), None)

    @property
    def starred(self) -> bool:
        """Whether some arguments come out of `*` or `**`, so that nobody can tell which are given."""
        return any(argument.name == "*" for argument in self.arguments)


def read_call(graph: CodeGraph, call: Node) -> Call:
    """Take a call node apart; a lone generator argument counts as a star."""
    syntax = graph.syntax(call)
    function, inner = syntax.child_by_field_name("function"), syntax.child_by_field_name("arguments")
    if function is None or inner is None:  # a call node is made from syntax that has both
        raise ValueError(f"{call.slot}: is no call")
    found = []
    for child in inner.named_children if inner.type == "argument_list" else [inner]:
        if child.type == "comment":
            continue
        name, value = child.child_by_field_name("name"), child.child_by_field_name("value")
        starred = child.type in ("list_splat", "dictionary_splat", "generator_expression")
        keyword = child.type == "keyword_argument" and name is not None
        label = "*" if starred else (name.text or b"").decode() if keyword and name else ""
        expression = value if keyword and value is not None else child
        found.append(
            Argument(label, child.start_byte, child.end_byte, expression.start_byte, (expression.text or b"").decode())
        )
    return Call((function.text or b"").decode(), function.end_byte, inner.start_byte + 1, tuple(found))
