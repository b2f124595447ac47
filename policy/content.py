"""What a policy sees of an edit: numbers that say what the code *is*, never what its author called it.

A word that has a meaning outside the repository (an edit kind, a role, an operator, the import path of an external callee, a choice)
becomes a *code*: a fixed random +-1 vector drawn from a digest of the word, so that equal words give equal codes in every process and
different ones are nearly orthogonal. Names that the author chose (labels, scopes, slots) do not enter: what is learned carries over.

Rows are float32 with entries of order one.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np

from graph.model import EdgeKind, NodeKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from graph.code_graph import CodeGraph
    from graph.model import Node
    from mutator.edit import Edit, Scalar

    Rows = NDArray[np.float32]

CODE_WIDTH = 32  # the dot product of two codes of length one has a standard deviation of 1 / sqrt(32)
NUMBER_WIDTH = 3
CHOICE_WIDTH = CODE_WIDTH + NUMBER_WIDTH
SITE_WIDTH = 2 * len(NodeKind) + 3 * CODE_WIDTH + NUMBER_WIDTH + 2 * len(EdgeKind)
EDIT_WIDTH = CODE_WIDTH + SITE_WIDTH + CHOICE_WIDTH

_SMALLEST = 1e-12  # what counts as zero
_STRETCH = 4.0  # puts 2 at 0.8, 4 at 1.2, 1e-3 at -2.6
_TO_EXTERNALS = frozenset({EdgeKind.CALLS, EdgeKind.INHERITS, EdgeKind.IMPORTS})


def encode_word(word: str) -> Rows:
    """Return the word's code: (CODE_WIDTH,), of length one; zeros for the empty word."""
    if not word:
        return np.zeros(CODE_WIDTH, np.float32)
    bits = np.unpackbits(np.frombuffer(blake2b(word.encode(), digest_size=CODE_WIDTH // 8).digest(), dtype=np.uint8))
    return (bits.astype(np.float32) * 2 - 1) / np.float32(math.sqrt(CODE_WIDTH))


def encode_number(value: float) -> Rows:
    """Return (sign, log magnitude, 1 for "there is a number"), with the magnitude stretched around 1, where factors live."""
    decades = math.log10(min(max(abs(value), _SMALLEST), 1 / _SMALLEST))
    stretched = math.copysign(math.log1p(_STRETCH * abs(decades)), decades)
    return np.array([(value > 0) - (value < 0), stretched, 1.0], np.float32)


def encode_choice(choice: Iterable[tuple[str, Scalar]]) -> Rows:
    """Return what a choice says: (CHOICE_WIDTH,), the sum of its name=value codes and of its numbers' magnitudes."""
    words, numbers = np.zeros(CODE_WIDTH, np.float32), np.zeros(NUMBER_WIDTH, np.float32)
    for name, value in choice:
        words += encode_word(f"{name}={value}")
        if not isinstance(value, str | bool):
            numbers += encode_number(float(value))
    return np.concatenate([words, numbers])


def encode_edits(graph: CodeGraph, edits: Sequence[Edit]) -> Rows:
    """Return one row per edit: (M, EDIT_WIDTH) = kind, site, choice. Each is encoded once, however many edits share it."""
    kinds = {kind: encode_word(kind) for kind in {edit.kind for edit in edits}}
    sites = encode_sites(graph, {edit.site for edit in edits})
    choices = {choice: encode_choice(choice) for choice in {edit.choice for edit in edits}}
    rows = np.empty((len(edits), EDIT_WIDTH), np.float32)
    for row, edit in zip(rows, edits, strict=True):
        row[:CODE_WIDTH] = kinds[edit.kind]
        row[CODE_WIDTH:-CHOICE_WIDTH] = sites[edit.site]
        row[-CHOICE_WIDTH:] = choices[edit.choice]
    return rows


def encode_sites(graph: CodeGraph, slots: Iterable[str]) -> dict[str, Rows]:
    """Return slot -> (SITE_WIDTH,): the node, how it is wired, what kinds surround it, and which external callables are near.

    A slot that the graph does not hold gets zeros.
    """
    around = {slot: _Surroundings() for slot in slots}
    externals: defaultdict[str, list[str]] = defaultdict(list)
    for edge in graph.edges:
        if edge.kind in _TO_EXTERNALS and _kind_of(graph, edge.target) is NodeKind.EXTERNAL:
            externals[edge.source].append(edge.target)
        if edge.source in around:
            around[edge.source].add(edge.kind, edge.target, outward=True)
        if edge.target in around:
            around[edge.target].add(edge.kind, edge.source, outward=False)
    return {
        slot: _encode_site(graph, graph.nodes[slot], found, externals)
        if slot in graph.nodes
        else np.zeros(SITE_WIDTH, np.float32)
        for slot, found in around.items()
    }


@dataclass(slots=True)
class _Surroundings:
    """The edges at one site, while they are counted."""

    wires: Counter[tuple[EdgeKind, bool]] = field(default_factory=Counter)
    neighbours: list[str] = field(default_factory=list)

    def add(self, kind: EdgeKind, neighbour: str, *, outward: bool) -> None:
        self.wires[kind, outward] += 1
        self.neighbours.append(neighbour)


def _encode_site(graph: CodeGraph, node: Node, around: _Surroundings, externals: Mapping[str, Sequence[str]]) -> Rows:
    kinds = Counter(_kind_of(graph, slot) for slot in around.neighbours)
    meanings = [node.label] if node.kind is NodeKind.OPERATOR else externals.get(node.slot, ())
    near = [path for slot in around.neighbours for path in externals.get(slot, ())]
    return np.concatenate(
        [
            np.array([node.kind is kind for kind in NodeKind], np.float32),
            np.log1p(np.array([kinds[kind] for kind in NodeKind], np.float32)),
            encode_word(node.role),
            _mean_code(meanings),
            _mean_code(near),
            _encode_literal(graph, node),
            np.log1p(np.array([around.wires[kind, way] for kind in EdgeKind for way in (True, False)], np.float32)),
        ]
    )


def _encode_literal(graph: CodeGraph, node: Node) -> Rows:
    text = graph.snapshot.files[node.path][node.start : node.end] if node.kind is NodeKind.LITERAL else b""
    try:
        return encode_number(float(text))
    except ValueError:  # no literal, or one without a magnitude: a string, True, False
        return np.zeros(NUMBER_WIDTH, np.float32)


def _mean_code(words: Sequence[str]) -> Rows:
    total = np.zeros(CODE_WIDTH, np.float32)
    for word in words:
        total += encode_word(word)
    return total / np.float32(max(1, len(words)))


def _kind_of(graph: CodeGraph, slot: str) -> NodeKind | None:
    node = graph.nodes.get(slot)
    return None if node is None else node.kind
