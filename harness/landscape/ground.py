"""What a synthetic landscape stands on: the real graph and edits of a shipped target, with what those edits are as arrays.

An effect may be invented; what a policy sees of an edit may not, or what it learns there would not carry over to any code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from harness.sources import open_sources
from mutator.shipped import default_grammar
from policy.traits import count_doublings, split_content

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

    from numpy.typing import NDArray

    from graph.code_graph import CodeGraph
    from mutator.edit import Edit
    from targets.manifest import Direction

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]
    Flags = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Ground:
    """The single edits of an unedited target. M edits at S sites in P places (a kind at a site)."""

    name: str
    graph: CodeGraph
    edits: tuple[Edit, ...]
    direction: Direction
    sites: Ints  # (M,) from 0
    places: Ints  # (M,) from 0
    doublings: Floats  # (M,) of the number at the site, within +-3; NaN where an edit sets no number
    inert: Flags  # (M,) whether an edit changes nothing that is computed
    content: tuple[
        Floats, Floats, Floats
    ]  # kinds, sites and choices as policies see them: (M, width), rows of length one at most


def read_ground(name: str) -> Ground:
    """Read the edits of a target (seconds).

    Raises: TargetError: there is no such target, or it cannot be trained.
    """
    sources = open_sources(name)
    direction, graph, edits = sources.trainable.direction, sources.graph, tuple(sources.unrestricted.edits())
    preserving = default_grammar().preserving
    return Ground(
        sources.trainable.name,
        graph,
        edits,
        direction,
        _number(edit.site for edit in edits),
        _number((edit.kind, edit.site) for edit in edits),
        np.array([count_doublings(graph, edit) for edit in edits]),
        np.array([edit.kind in preserving for edit in edits]),
        split_content(graph, edits),
    )


def _number(keys: Iterable[Hashable]) -> Ints:
    """Number keys from 0 in the order of their first appearance."""
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], np.int64)
