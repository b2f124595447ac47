"""Several edits as one transaction: planned on one snapshot, merged, and verified as a whole."""

from __future__ import annotations

from itertools import combinations, pairwise
from typing import TYPE_CHECKING

from mutator.intents import EnsureImport, Promise
from mutator.kind import Reason, Refused
from mutator.patch import Patch, make_patch
from mutator.render import render
from mutator.verify import verify

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from graph.code_graph import CodeGraph
    from mutator.edit import Edit
    from mutator.grammar import Grammar
    from mutator.intents import Intent
    from mutator.patch import Replacement


def merge(
    grammar: Grammar, graph: CodeGraph, edits: Sequence[Edit], *, protected: frozenset[str]
) -> tuple[Patch, tuple[str, ...]]:
    """Return the patch of all edits, the same whatever their order, and the promises that hold after it.

    Imports that several edits need are made once. Everything else that two edits both touch is a conflict, insertions at one place too:
    nobody can tell which should come first.
    Raises: SiteGone, EditError: as Grammar.plan does. Refused: two edits are in conflict, or the union does not verify.
    """
    imports: list[EnsureImport] = []
    promises = list(graph.snapshot.promises)
    claimed: dict[str, list[tuple[Replacement, str]]] = {}
    ordered = sorted(edits, key=lambda edit: edit.uri)
    twice = [first.uri for first, second in pairwise(ordered) if first == second]
    if twice:
        raise Refused(Reason.CONFLICT, f"{twice[0]}: is given twice; give it once")
    for edit in ordered:
        intents = grammar.intents(graph, edit, protected=protected)
        promises += (f"{i.unit}: {i.property}" for i in intents if isinstance(i, Promise))
        imports += (intent for intent in intents if isinstance(intent, EnsureImport))
        for path, replacement in _replace(graph, intents):
            _claim(claimed.setdefault(path, []), replacement, path, edit.uri)
    own = [(path, replacement) for path, found in claimed.items() for replacement, _ in found]
    top = [(path, r) for path, found in render(graph, imports).files for r in found]
    patch = make_patch((*own, *top))
    verify(graph, patch, protected=protected, promises=tuple(promises))
    return patch, tuple(promises)


def conflicts(
    grammar: Grammar, graph: CodeGraph, edits: Sequence[Edit], *, protected: frozenset[str]
) -> frozenset[tuple[int, int]]:
    """Return which edits `merge` would find in conflict: pairs of their numbers, the lower one first.

    Whether the union of two others verifies is not looked at.
    Raises: SiteGone, EditError: as Grammar.plan does.
    """
    touched: dict[str, list[tuple[int, Replacement]]] = {}
    for number, edit in enumerate(edits):
        intents = grammar.intents(graph, edit, protected=protected)
        for path, replacement in _replace(graph, intents):
            touched.setdefault(path, []).append((number, replacement))
    return frozenset(
        (one, other)
        for found in touched.values()
        for (one, first), (other, second) in combinations(found, 2)
        if one != other and _clash(first, second)
    )


def _replace(graph: CodeGraph, intents: Sequence[Intent]) -> Iterator[tuple[str, Replacement]]:
    """Walk what intents replace, file by file, but for imports, which edits share."""
    for path, replacements in render(graph, (i for i in intents if not isinstance(i, EnsureImport))).files:
        yield from ((path, replacement) for replacement in replacements)


def _clash(one: Replacement, other: Replacement) -> bool:
    """Whether two replacements overlap, or one inserts where the other begins or ends."""
    apart = one.end < other.start or other.end < one.start
    touching = not apart and (one.end == other.start or other.end == one.start)
    return not apart and (not touching or not one.expect or not other.expect)


def _claim(claimed: list[tuple[Replacement, str]], replacement: Replacement, path: str, uri: str) -> None:
    for other, owner in claimed:
        if owner != uri and _clash(replacement, other):
            raise Refused(
                Reason.CONFLICT,
                f"{path}: byte {replacement.start}: {owner} and {uri} are in conflict; apply them one after the other",
            )
    claimed.append((replacement, uri))
