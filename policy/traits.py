"""What edits have in common, as arrays: kind, site, unit, content, and how far they move a number.

Words become 63-bit digests: equal words are equal in every process, and no list of known ones has to be kept.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import numpy as np

from policy.content import CHOICE_WIDTH, CODE_WIDTH, encode_edits, read_number
from policy.tally import identify

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from graph.code_graph import CodeGraph
    from mutator.edit import Edit

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

MOST_DOUBLINGS = 3.0


@dataclass(frozen=True, slots=True)
class Traits:
    """M edits."""

    kinds: Ints  # (M,)
    sites: Ints  # (M,)
    units: Ints  # (M,) what holds the site
    edits: Ints  # (M,) kind, site and choice together
    doublings: Floats  # (M,) of the number at the site; NaN where an edit sets none
    content: Floats  # (M, W) kind, site and choice as policies see them, each of length one at most
    promise: Floats  # (M,) what other targets say of their gains (policy.prior); zeros where nothing is known
    price: Floats  # (M,) and of their costs, in doublings

    def __len__(self) -> int:
        return len(self.kinds)

    def __getitem__(self, rows: Sequence[int]) -> Traits:
        return Traits(*(part[list(rows)] for part in self._parts))

    def join(self, other: Traits) -> Traits:
        """Return these edits, then the others."""
        return Traits(*(np.concatenate(pair) for pair in zip(self._parts, other._parts, strict=True)))

    @property
    def _parts(self) -> tuple[Any, ...]:
        return tuple(getattr(self, field.name) for field in fields(self))


def describe(graph: CodeGraph, edits: Sequence[Edit]) -> Traits:
    """Return the traits of edits of a graph."""
    return Traits(
        _digests(edit.kind for edit in edits),
        _digests(edit.site for edit in edits),
        _digests(edit.site.partition("/")[0] for edit in edits),
        _digests(repr(identify(edit)) for edit in edits),
        np.array([count_doublings(graph, edit) for edit in edits], np.float64),
        np.concatenate(split_content(graph, edits), 1),
        np.zeros(len(edits)),
        np.zeros(len(edits)),
    )


def split_content(graph: CodeGraph, edits: Sequence[Edit]) -> tuple[Floats, Floats, Floats]:
    """Return what policies see of kinds, sites and choices: (M, width) each, rows of length one, or zero."""
    rows = encode_edits(graph, edits).astype(np.float64)
    kinds, sites, choices = np.split(rows, [CODE_WIDTH, rows.shape[1] - CHOICE_WIDTH], axis=1)
    return _to_length_one(kinds), _to_length_one(sites), _to_length_one(choices)


def is_number(graph: CodeGraph, slot: str) -> bool:
    """Whether a slot is that of a number: whatever edits it sets it."""
    return slot in graph.nodes and not math.isnan(read_number(graph, graph.nodes[slot]))


def count_doublings(graph: CodeGraph, edit: Edit) -> float:
    """Return how many times an edit doubles the number at its site; NaN where there is none, or nothing to compare it with."""
    node = graph.nodes.get(edit.site)
    before, chosen = math.nan if node is None else read_number(graph, node), dict(edit.choice)
    by, to = chosen.get("by"), chosen.get("to")
    factor = by if isinstance(by, float | int) else to / before if isinstance(to, float | int) and before else math.nan
    if isinstance(by, bool) or isinstance(to, bool) or math.isnan(before) or not factor > 0:
        return math.nan
    return min(MOST_DOUBLINGS, max(-MOST_DOUBLINGS, math.log2(factor)))


def _digests(words: Iterable[str]) -> Ints:
    known: dict[str, int] = {}

    def digest(word: str) -> int:
        if word not in known:
            known[word] = int.from_bytes(blake2b(word.encode(), digest_size=8).digest(), "big") >> 1
        return known[word]

    return np.array([digest(word) for word in words], np.int64)


def _to_length_one(rows: Floats) -> Floats:
    unit: Floats = rows / np.maximum(np.sqrt((rows**2).sum(1, keepdims=True)), 1e-12)
    return unit
