"""What training code means: facts that several edit kinds ask of the graph."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graph.code_graph import CodeGraph
from graph.model import EdgeKind, Node, NodeKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tree_sitter import Node as SyntaxNode

TORCH_MODULE = "torch.nn.Module"
FUNCTIONAL = "torch.nn.functional"
NONLINEARITIES = frozenset(
    {"relu", "gelu", "silu", "mish", "elu", "selu", "celu", "leaky_relu", "hardswish", "softplus", "tanh", "sigmoid", "relu6", "softsign"}
)  # fmt: skip

# Arguments of these count or place things: scaling or swapping inside them breaks shapes and indices, and seldom means anything else.
_PLACING = frozenset(
    [
        "view",
        "reshape",
        "permute",
        "transpose",
        "flatten",
        "unflatten",
        "squeeze",
        "unsqueeze",
        "expand",
        "repeat",
        "split",
        "chunk",
        "size",
        "select",
        "narrow",
        "roll",
        "gather",
        "cat",
        "stack",
        "arange",
        "range",
        "randint",
        "linspace",
        "frombuffer",
        "slice",
        "enumerate",
        "len",
        "print",
        "isinstance",
        "getattr",
        "open",
        "format",
        "replace",
        "pad",
        "tril",
        "triu",
    ]
)
_PLACING_NAMES = frozenset(
    {"dim", "dims", "axis", "keepdim", "start_dim", "end_dim", "seed", "num_workers", "stacklevel", "maxsplit"}
)


def places_things(graph: CodeGraph, node: Node) -> bool:
    """Whether a node is part of an index, a shape or a count of positions, or of an import, a message or a type."""
    if node.role in ("index", "key", "type", "statement", "") or node.label in _PLACING_NAMES:
        return True
    for outer in graph.ancestors(node):
        if outer.kind is NodeKind.STATEMENT:
            return outer.label in ("assert", "raise", "print", "delete")
        if outer.role == "index" or (outer.kind is NodeKind.CALL and outer.label in _PLACING):
            return True
    return False


def is_torch_module(graph: CodeGraph, class_slot: str) -> bool:
    """Whether a class descends from torch.nn.Module, by itself or through a layer of torch."""
    bases = graph.external_bases(class_slot)
    return any(base.startswith("torch.nn.") and base.rpartition(".")[2][:1].isupper() for base in bases)


def forward_of_module(graph: CodeGraph, node: Node) -> bool:
    """Whether a node stands directly in the `forward` of a torch module."""
    function = graph.nodes[node.scope]
    owner = graph.nodes.get(function.scope)
    return (
        function.label == "forward"
        and owner is not None
        and owner.kind is NodeKind.CLASS
        and is_torch_module(graph, owner.slot)
    )


def calls_in(graph: CodeGraph, statement: Node) -> Iterator[Node]:
    """Walk the calls of a statement's header, outermost first."""
    pending = [graph.nodes[slot] for slot in graph.targets(statement.slot, EdgeKind.CONTAINS)]
    while pending:
        node = pending.pop(0)
        if node.kind is NodeKind.CALL:
            yield node
        if node.kind in (NodeKind.CALL, NodeKind.OPERATOR):
            pending = [graph.nodes[slot] for slot in graph.targets(node.slot, EdgeKind.CONTAINS)] + pending


def assignment_of(graph: CodeGraph, statement: Node) -> SyntaxNode | None:
    """Return the syntax of what a statement says, without the statement around it: of `x = f(x)` the assignment."""
    found = graph.files[statement.path].tree.root_node.descendant_for_byte_range(statement.start, statement.end)
    while found is not None and found.type == "expression_statement" and found.named_children:
        found = found.named_children[0]
    return found


def block_of(graph: CodeGraph, statement: Node) -> tuple[Node, ...]:
    """Return the statements of the block that a statement stands in, itself included, in source order."""
    parent = graph.parent(statement)
    siblings = graph.targets(parent.slot, EdgeKind.CONTAINS) if parent is not None else ()
    return tuple(graph.nodes[slot] for slot in siblings if graph.nodes[slot].kind is NodeKind.STATEMENT)


def module_instances(graph: CodeGraph, scope: str) -> Iterator[str]:
    """Walk the names of a function or module that hold a torch module of ours: `model`."""
    return (name for name, owner in graph.instances(scope) if is_torch_module(graph, owner))


def is_config_class(graph: CodeGraph, class_slot: str) -> bool:
    """Whether a class is a dataclass that edits may extend."""
    decorators = graph.sources(class_slot, EdgeKind.DECORATES)
    return "dataclasses.dataclass" in decorators and not graph.frozen(graph.nodes[class_slot])
