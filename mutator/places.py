"""What a number that gets a name is called, and where its constant goes: next to those that there are, before anything runs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from graph.model import EdgeKind, Node, NodeKind
from mutator.numbers import name_of

if TYPE_CHECKING:
    from graph.code_graph import CodeGraph

_KEYWORDS = frozenset({"return", "if", "for", "while", "expression", "unpack", "assert", "with", "yield", "elif", "op"})
_SUFFIX = {"mul": "factor", "div": "divisor", "floordiv": "divisor", "add": "offset", "sub": "offset", "pow": "power"}
_CONSTANT = re.compile(r"[A-Z][A-Z0-9_]*\s*(:[^=]+)?=[^=]")


def constant_place(graph: CodeGraph, path: str) -> tuple[Node, bool]:
    """Return the node that a new constant goes next to, and whether before it.

    Behind the last constant (a statement) that is set before the module calls anything of ours, else behind the last import of the head,
    else before what comes first.
    """
    children = [
        n
        for n in _children(graph, path)
        if n.kind in (NodeKind.STATEMENT, NodeKind.IMPORT, NodeKind.FUNCTION, NodeKind.CLASS)
    ]
    constant = imported = None
    defined = False
    for node in children:
        if node.kind is NodeKind.IMPORT:
            imported = imported if defined else node
        elif node.kind is NodeKind.STATEMENT:
            if _CONSTANT.match(graph.text(node)) and not _runs_ours(graph, node):
                constant = node
            elif _runs_ours(graph, node):
                break
        else:
            defined = True
    found = constant or imported
    return (found, False) if found is not None else (children[0], True)


def _children(graph: CodeGraph, path: str) -> list[Node]:
    module = graph.files[path].module
    unit = next(n for n in graph.files[path].nodes if n.kind is NodeKind.MODULE)
    inside = [graph.nodes[slot] for slot in graph.targets(unit.slot, EdgeKind.CONTAINS)]
    return sorted((n for n in inside if n.module == module), key=lambda n: n.start)


def _runs_ours(graph: CodeGraph, statement: Node) -> bool:
    """Whether a statement of a module may run a function of ours: it calls one, or is compound and calls anything."""
    pending = [statement]
    while pending:
        node = pending.pop()
        if node.kind is NodeKind.CALL and (
            not graph.callees(node) or any(graph.nodes[s].path for s in graph.callees(node))
        ):
            return True
        pending += [
            n
            for slot in graph.targets(node.slot, EdgeKind.CONTAINS)
            if (n := graph.nodes[slot]).kind is not NodeKind.LITERAL
        ]
    return False


def purpose(graph: CodeGraph, site: Node) -> str:
    """Return what the number is for, in snake case: the name that it goes by, else its part in the arithmetic."""
    name = _snake(name_of(graph, site))
    operator = graph.parent(site)
    part = (
        _SUFFIX.get(operator.label, "value") if operator is not None and operator.kind is NodeKind.OPERATOR else "value"
    )
    part = "numerator" if part == "divisor" and operator is not None and operator.start == site.start else part
    if not name or name in _KEYWORDS:
        return part
    return f"{name}_{part}" if site.role == "operand" else name


def unit_name(graph: CodeGraph, function: Node) -> str:
    """Return the name of the class of a method, of the function itself where there is none, in snake case."""
    owner = graph.nodes[function.scope]
    return _snake(owner.label if owner.kind is NodeKind.CLASS else function.label)


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower().strip("_")
