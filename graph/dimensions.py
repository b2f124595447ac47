"""Sizes that several sites must agree on: which field, option, key or variable sets the size of a layer or parameter.

A size is followed through parameters, local names, attributes and arithmetic. The field is the dimension where a number came
through one; else the option or key that stated it, else the variable. A number that stands in the call itself is no dimension.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from graph.model import Confidence, Edge, EdgeKind
from graph.solution import argument
from graph.values import Tag

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from graph.facts import CallSite
    from graph.solution import Solution

_TENSORS = frozenset({"ones", "zeros", "empty", "full", "rand", "randn", "arange", "linspace", "eye"})
_CHANNELS, _INPUTS, _FEATURES = ("in_channels", "out_channels"), ("input_size", "hidden_size"), ("num_features",)
_WIDTHS = ("d_model", "nhead", "dim_feedforward")
_SIZES = {
    "Linear": ("in_features", "out_features"), "LazyLinear": ("out_features",),
    "Bilinear": ("in1_features", "in2_features", "out_features"),
    "Embedding": ("num_embeddings", "embedding_dim"), "EmbeddingBag": ("num_embeddings", "embedding_dim"),
    "LayerNorm": ("normalized_shape",), "RMSNorm": ("normalized_shape",), "GroupNorm": ("num_groups", "num_channels"),
    "MultiheadAttention": ("embed_dim", "num_heads"), "TransformerEncoderLayer": _WIDTHS, "TransformerDecoderLayer": _WIDTHS,
    "LSTM": _INPUTS, "GRU": _INPUTS, "RNN": _INPUTS, "LSTMCell": _INPUTS, "GRUCell": _INPUTS, "RNNCell": _INPUTS,
    **{f"Conv{n}d": _CHANNELS for n in (1, 2, 3)}, **{f"ConvTranspose{n}d": _CHANNELS for n in (1, 2, 3)},
    **{f"{kind}Norm{n}d": _FEATURES for kind in ("Batch", "Instance") for n in (1, 2, 3)}, "SyncBatchNorm": _FEATURES,
}  # fmt: skip


def dimension_edges(solution: Solution) -> Iterator[Edge]:
    """Walk the dimensions that set sizes at the call sites of a file."""
    sites = {site.site: site for site in solution.file.facts.sites}
    for site in solution.file.facts.sites:
        layers = {run.name.rpartition(".")[2] for run in solution.runs(site.site) if run.name.startswith("torch.nn.")}
        for slot in dict.fromkeys(
            slot for layer in sorted(layers) for slot in _dimensions(solution, site, layer, sites)
        ):
            yield Edge(f"dim:{slot}", site.site, EdgeKind.SHAPES, Confidence.INFERRED)


def _dimensions(solution: Solution, site: CallSite, layer: str, sites: Mapping[str, CallSite]) -> Iterator[str]:
    if layer == "Parameter":
        tensor = sites.get(argument(site, "data", 0))
        if tensor is not None and _makes_a_tensor(solution, tensor):
            for cell in (a.cell for a in tensor.arguments if not a.name or a.name == "size"):
                yield from _origins(solution, cell)
    for place, name in enumerate(_SIZES.get(layer, ())):
        yield from _origins(solution, argument(site, name, place))


def _makes_a_tensor(solution: Solution, site: CallSite) -> bool:
    return any(
        run.name.startswith("torch.") and run.name.rpartition(".")[2] in _TENSORS for run in solution.runs(site.site)
    )


def _origins(solution: Solution, cell: str) -> list[str]:
    """Return the origins of a number that are nearest to what people change: fields, else options and keys, else variables."""
    found = [held.name for held in solution.contents(cell, (Tag.LIST,)) if held.tag is Tag.ORIGIN]
    nearest = min(map(_distance, found), default=0)
    return [slot for slot in found if _distance(slot) == nearest]


def _distance(slot: str) -> int:
    return 0 if "/attr." in slot else 2 if "/var." in slot else 1
