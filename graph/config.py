"""Which statements a configuration reaches: fields of configuration classes, command-line options, keys of dictionaries and files.

A statement is reached where it reads the field or key itself. What copies one into another is a reader of the first, and the
readers of the second are its own. Variables of a settings module are variables: see `reads`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from graph.model import Confidence, Edge, EdgeKind
from graph.values import Tag

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from graph.solution import Solution
    from graph.values import Value

    AttributeNodes = Callable[[Value, str], Iterable[str]]

_LOOK_UPS = frozenset({"get", "pop", "setdefault"})
_KEYED = (Tag.DICT, Tag.NAMESPACE)


def config_edges(solution: Solution, attribute_nodes: AttributeNodes) -> Iterator[Edge]:
    """Walk what configures the statements of a file."""
    facts = solution.file.facts
    for touch in facts.accesses:
        if not touch.writes:
            yield from (
                _edge(slot, touch.statement) for slot in _fields(solution, touch.base, touch.attr, attribute_nodes)
            )
            yield from _keys(solution, touch.statement, touch.base, f"{touch.base}.{touch.attr}")
    for element in facts.elements:
        yield from _keys(solution, element.statement, element.base, element.into)
    for site in facts.sites:
        base, _, method = site.callee.rpartition(".")
        if method in _LOOK_UPS and site.written == "member":
            yield from _keys(solution, solution.statement(site.site), base, site.site)


def _edge(source: str, statement: str) -> Edge:
    return Edge(source, statement, EdgeKind.CONFIGURES, Confidence.INFERRED)


def _fields(solution: Solution, base: str, name: str, attribute_nodes: AttributeNodes) -> Iterator[str]:
    tables = solution.tables
    for held in solution.values(base):
        if held.tag in (Tag.INSTANCE, Tag.CLASS) and name in (tables.fields(held.name) or ()):
            yield from attribute_nodes(held, name)


def _keys(solution: Solution, statement: str, base: str, into: str) -> Iterator[Edge]:
    if any(held.tag in _KEYED for held in solution.values(base)):
        stated = (held.name for held in solution.values(into) if held.tag is Tag.ORIGIN)
        yield from (_edge(slot, statement) for slot in stated if "/var." not in slot)
