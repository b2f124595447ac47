"""What the attributes of torch modules hold: submodules, parameters and buffers.

An edge stands with the file that sets the attribute: a constructor, or whoever replaces a layer later. Plain lists of modules
register nothing in torch and give no edge.
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

_BUFFER = "torch.nn.Module.register_buffer"
_PARAMETERS = frozenset(
    {"torch.nn.Parameter", "torch.nn.parameter.Parameter", "torch.nn.Buffer", "torch.nn.UninitializedParameter"}
)
_LIBRARIES = ("torch.nn.", "torchvision.models.", "timm.", "transformers.", "einops.layers.torch.")
_NO_MODULES = ("torch.nn.functional.", "torch.nn.init.", "torch.nn.utils.")


def module_edges(solution: Solution, attribute_nodes: AttributeNodes) -> Iterator[Edge]:
    """Walk what a file puts into the attributes of modules."""
    for touch in solution.file.facts.accesses:
        if touch.writes and touch.cell:
            owners = [
                v
                for v in solution.values(touch.base)
                if v.tag in (Tag.INSTANCE, Tag.CLASS) and solution.is_module(v.name)
            ]
            held = list(_registered(solution, touch.cell)) if owners else []
            for slot in dict.fromkeys(s for owner in owners if held for s in attribute_nodes(owner, touch.attr)):
                yield from (Edge(slot, target, kind, Confidence.INFERRED) for kind, target in held)
    yield from _buffers(solution, attribute_nodes)


def is_layer(path: str) -> bool:
    """Whether an external path names a class of modules."""
    return path.startswith(_LIBRARIES) and not path.startswith(_NO_MODULES) and path.rpartition(".")[2][:1].isupper()


def _registered(solution: Solution, cell: str) -> Iterator[tuple[EdgeKind, str]]:
    for held in solution.contents(cell, (Tag.SEQUENTIAL,)):
        if held.tag is Tag.INSTANCE and solution.is_module(held.name):
            yield EdgeKind.SUBMODULE, held.name
        elif held.tag is Tag.MADE and held.name in _PARAMETERS:
            yield EdgeKind.REGISTERS, held.name
        elif held.tag is Tag.MADE and is_layer(held.name):
            yield EdgeKind.SUBMODULE, held.name


def _buffers(solution: Solution, attribute_nodes: AttributeNodes) -> Iterator[Edge]:
    for site in solution.file.facts.sites:
        if site.text.endswith(".register_buffer") and site.arguments:
            receivers = [
                v for v in solution.values(site.callee.removesuffix(".register_buffer")) if v.tag is Tag.INSTANCE
            ]
            names = [v.name.strip("'\"") for v in solution.values(site.arguments[0].cell) if v.tag is Tag.CONSTANT]
            for owner in (r for r in receivers if solution.is_module(r.name)):
                for slot in (s for name in names for s in attribute_nodes(owner, name)):
                    yield Edge(slot, _BUFFER, EdgeKind.REGISTERS, Confidence.INFERRED)
