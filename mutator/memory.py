"""What is derived from a graph, kept on the graph: facts that many kinds ask of the same nodes are found once."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar, cast

from graph.code_graph import CodeGraph

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
T = TypeVar("T")


def remembered(compute: Callable[Concatenate[CodeGraph, P], T]) -> Callable[Concatenate[CodeGraph, P], T]:
    """Remember what a function of a graph and of hashable arguments returns, as long as the graph lives."""

    @wraps(compute)
    def ask(graph: CodeGraph, /, *args: P.args, **kwargs: P.kwargs) -> T:
        key = (compute, args, *sorted(kwargs.items()))
        if key not in graph.memory:
            graph.memory[key] = compute(graph, *args, **kwargs)
        return cast("T", graph.memory[key])

    return ask
