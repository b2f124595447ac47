"""What no edit may touch in a training that measures itself: its end, its measurement, the metric line, and what arguments override.

The target's own code computes its metric and counts its steps here, so nothing is out of reach of an edit that wants to forge them.
But no edit is made where these things stand, so that none does by chance.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from graph.model import NodeKind
from mutator.protect import slice_of
from mutator.steps import steps_in

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from graph.model import Node
    from harness.init.printed import Metric
    from harness.init.repository import Repository
    from harness.init.training import Place


def shielded(
    repository: Repository, metric: Metric, endings: Sequence[Place], settings: Sequence[tuple[str, ast.stmt]]
) -> tuple[tuple[str, str], ...]:
    """List the slots to protect, each once, with the reason."""
    found: dict[str, str] = {}
    for place in endings:
        node = repository.node_at(place.path, place.statement)
        for part in slice_of(repository.graph, [node] if node is not None else []):
            found.setdefault(part.slot, "ends the training")
    for path, statement in _measuring(repository, metric):
        node = repository.node_at(path, statement)
        if node is not None:
            found.setdefault(node.slot, "measures")
    for path, statement in settings:
        node = repository.node_at(path, statement)
        if node is not None:
            found.setdefault(node.slot, "set by the arguments")
    nodes = repository.graph.nodes
    whole = {slot for slot in found if nodes[slot].kind is NodeKind.FUNCTION}  # their statements need no mention
    return tuple((slot, why) for slot, why in found.items() if nodes[slot].scope not in whole)


def _measuring(repository: Repository, metric: Metric) -> Iterator[tuple[str, ast.stmt]]:
    """Walk what prints the metric and what computes it: statements, and functions that take no training step."""
    path, statement = metric.path, repository.statement_of(metric.call)
    function = repository.function_of(metric.call)
    if function is not None and not _trains(repository, path, function):
        yield path, function
        for call in _calls_of(repository, path, function.name):
            yield path, repository.statement_of(call)
    yield path, statement
    names = {node.id for node in ast.walk(metric.call) if isinstance(node, ast.Name)}
    for node in ast.walk(function or repository.trees[path]):
        bound = {target.id for target in getattr(node, "targets", []) if isinstance(target, ast.Name)}
        if isinstance(node, ast.Assign) and bound & names and isinstance(node.value, ast.Call):
            for inner, called in _functions_of_ours(repository, path, node.value):
                if not _trains(repository, inner, called):
                    yield path, node
                    yield inner, called


def _functions_of_ours(repository: Repository, path: str, call: ast.Call) -> Iterator[tuple[str, ast.FunctionDef]]:
    name = ast.unparse(call.func)
    for node in repository.trees[path].body:
        if isinstance(node, ast.FunctionDef) and node.name == name:
            yield path, node


def _calls_of(repository: Repository, path: str, name: str) -> Iterator[ast.Call]:
    for node in ast.walk(repository.trees[path]):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == name:
            yield node


def _trains(repository: Repository, path: str, function: ast.FunctionDef) -> bool:
    """Whether a function, or one inside it, takes a training step."""
    node = repository.node_at(path, function)
    inside = [node, *_inside(repository, node)] if node is not None else []
    return any(True for unit in inside for _ in steps_in(repository.graph, unit.slot, path))


def _inside(repository: Repository, function: Node) -> Iterator[Node]:
    for node in repository.graph.files[function.path].nodes:
        if node.kind is NodeKind.FUNCTION and function.start < node.start < function.end:
            yield node
