"""What a policy sees of an edit: numbers that say what the code *is*, never what its author called it.

A word that has a meaning outside the repository (an edit kind, a role, an operator, the import path of an external callee, a choice)
becomes a *code*: a fixed random +-1 vector drawn from a digest of the word, so that equal words give equal codes in every process and
different ones are nearly orthogonal. Names that the author chose (labels, scopes, slots) do not enter: what is learned carries over.

Rows are float32 with entries of order one.
"""

from __future__ import annotations

import math
from collections import Counter
from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import numpy as np

from graph.model import EdgeKind, NodeKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from graph.code_graph import CodeGraph
    from graph.model import Node
    from mutator.edit import Edit, Scalar

    Rows = NDArray[np.float32]

CODE_WIDTH = 32  # the dot product of two codes of length one has a standard deviation of 1 / sqrt(32)
NUMBER_WIDTH = 3
CHOICE_WIDTH = CODE_WIDTH + NUMBER_WIDTH
SITE_WIDTH = 2 * len(NodeKind) + 2 * len(EdgeKind) + 4 * CODE_WIDTH + NUMBER_WIDTH
EDIT_WIDTH = CODE_WIDTH + SITE_WIDTH + CHOICE_WIDTH

_SMALLEST = 1e-12  # what counts as zero
_STRETCH = 4.0  # puts 2 at 0.8, 4 at 1.2, 1e-3 at -2.6
_N_WORDS = 1 << 14  # that are kept encoded
_N_GRAPHS = 8
_noted: dict[
    int, tuple[CodeGraph, dict[str, dict[str, Any]]]
] = {}  # by the graph's identity, which is not reused while it is in here
_TO_EXTERNALS = (EdgeKind.CALLS, EdgeKind.INHERITS, EdgeKind.IMPORTS)


@lru_cache(maxsize=_N_WORDS)
def encode_word(word: str) -> Rows:
    """Return the word's code: (CODE_WIDTH,), of length one, not to be changed; zeros for the empty word."""
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
    """Return what a choice says: (CHOICE_WIDTH,), the sum of its name=value codes and of its numbers' magnitudes; not to be changed."""
    pairs = tuple(choice)
    numbers = tuple(float(value) for _, value in pairs if not isinstance(value, str | bool))
    return _encode_choice(tuple(f"{name}={value}" for name, value in pairs), numbers)


@lru_cache(maxsize=_N_WORDS)
def _encode_choice(words: tuple[str, ...], numbers: tuple[float, ...]) -> Rows:
    codes = sum(map(encode_word, words), np.zeros(CODE_WIDTH, np.float32))
    magnitudes = sum(map(encode_number, numbers), np.zeros(NUMBER_WIDTH, np.float32))
    return np.concatenate([codes, magnitudes])


def encode_edits(graph: CodeGraph, edits: Sequence[Edit]) -> Rows:
    """Return one row per edit: (M, EDIT_WIDTH) = kind, site, choice. A row does not depend on the others."""
    kinds = {kind: encode_word(kind) for kind in {edit.kind for edit in edits}}
    sites = {slot: encode_site(graph, slot) for slot in {edit.site for edit in edits}}
    rows = np.empty((len(edits), EDIT_WIDTH), np.float32)
    for row, edit in zip(rows, edits, strict=True):
        row[:CODE_WIDTH] = kinds[edit.kind]
        row[CODE_WIDTH:-CHOICE_WIDTH] = sites[edit.site]
        row[-CHOICE_WIDTH:] = encode_choice(edit.choice)  # 2 and 2.0 are equal, and other choices
    return rows


def encode_site(graph: CodeGraph, slot: str) -> Rows:
    """Return (SITE_WIDTH,), not to be changed.

    It says what the node is, how it is wired, what surrounds it, and what runs where the value that it sets is read.
    A slot that the graph does not hold gets zeros.
    """
    known: dict[str, Rows] = note(graph, "sites")
    if slot not in known:
        known[slot] = _encode_site(graph, slot)
    return known[slot]


def note(graph: CodeGraph, what: str) -> dict[str, Any]:
    """Return what was worked out of a graph, by slot. The last graphs are kept: a policy looks at the same ones again and again."""
    noted = _noted.pop(id(graph), (graph, {}))
    _noted[id(graph)] = noted
    while len(_noted) > _N_GRAPHS:
        del _noted[next(iter(_noted))]
    return noted[1].setdefault(what, {})


def _encode_site(graph: CodeGraph, slot: str) -> Rows:
    node = graph.nodes.get(slot)
    if node is None:
        return np.zeros(SITE_WIDTH, np.float32)
    there = _by_kind((edge.kind, edge.target) for edge in graph.out(slot))
    back = _by_kind((edge.kind, edge.source) for edge in graph.into(slot))
    wires = [neighbours for kind in EdgeKind for neighbours in (there.get(kind, ()), back.get(kind, ()))]
    around = [neighbour for neighbours in wires for neighbour in neighbours]
    kinds = Counter(graph.nodes[neighbour].kind for neighbour in around)
    readers = sorted(set(_readers(graph, node)))
    return np.concatenate(
        [
            np.array([node.kind is kind for kind in NodeKind], np.float32),
            np.log1p(np.array([kinds[kind] for kind in NodeKind], np.float32)),
            np.log1p(np.array([len(neighbours) for neighbours in wires], np.float32)),
            encode_word(node.role),
            _mean_code(_meanings(graph, slot)),
            _mean_code([word for neighbour in around for word in _meanings(graph, neighbour)]),
            _mean_code([word for reader in readers for word in _meanings_inside(graph, reader)]),
            _encode_literal(graph, node),
        ]
    )


def _by_kind(wires: Iterable[tuple[EdgeKind, str]]) -> dict[EdgeKind, list[str]]:
    grouped: dict[EdgeKind, list[str]] = {}
    for kind, neighbour in wires:
        grouped.setdefault(kind, []).append(neighbour)
    return grouped


def _meanings(graph: CodeGraph, slot: str) -> Sequence[str]:
    """Return what is known of a node beyond the repository: an operator's name, the import paths of what it calls or inherits."""
    node = graph.nodes[slot]
    if node.kind is NodeKind.OPERATOR:
        return [node.label]
    targets = (target for kind in _TO_EXTERNALS for target in graph.targets(slot, kind))
    return [target for target in targets if graph.nodes[target].kind is NodeKind.EXTERNAL]


def _meanings_inside(graph: CodeGraph, slot: str) -> Iterator[str]:
    yield from _meanings(graph, slot)
    for child in graph.targets(slot, EdgeKind.CONTAINS):
        yield from _meanings_inside(graph, child)


def _readers(graph: CodeGraph, node: Node) -> Iterator[str]:
    """Walk the statements that read what the node's statement binds."""
    statement = graph.statement(node)
    if statement is not None:
        for bound in graph.targets(statement.slot, EdgeKind.WRITES):
            yield from graph.sources(bound, EdgeKind.READS)


def _encode_literal(graph: CodeGraph, node: Node) -> Rows:
    value = read_number(graph, node)
    return np.zeros(NUMBER_WIDTH, np.float32) if math.isnan(value) else encode_number(value)


def read_number(graph: CodeGraph, node: Node) -> float:
    """Return the number that a node is; NaN for what is no literal, or one without a magnitude: a string, True, False."""
    try:
        return float(graph.text(node)) if node.kind is NodeKind.LITERAL else math.nan
    except ValueError:
        return math.nan


def _mean_code(words: Sequence[str]) -> Rows:
    total = np.zeros(CODE_WIDTH, np.float32)
    for word in words:
        total += encode_word(word)
    return total / np.float32(max(1, len(words)))
