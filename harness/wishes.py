"""What a manifest wishes of a search, against the grammar and the sources: kinds and units have to exist there."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from graph.build import build_graph
from graph.model import NodeKind
from mutator.edit import EditError
from mutator.forbid import UNITS, Forbidden
from mutator.shipped import default_grammar
from targets.manifest import MANIFEST, TargetError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from graph.snapshot import Snapshot
    from targets.manifest import Target

_N_NEAR = 3  # names to offer for one that does not exist


def priors_of(target: Target) -> Mapping[str, float]:
    """Return how often to try each kind before anything is known: the grammar's priors times what the manifest prefers.

    Raises: TargetError: it prefers a kind that does not exist.
    """
    grammar, priors = default_grammar(), dict(default_grammar().priors)
    for name, weight in target.search.prefer.items():
        try:
            kind = grammar.kind(name)
        except EditError as error:
            raise TargetError(f"{target.folder / MANIFEST}: search.prefer names {name!r}: {error}") from error
        priors[kind.name] = priors.get(kind.name, 1.0) * weight
    return priors


def forbidden_of(target: Target, sources: Snapshot) -> Forbidden:
    """Return what the manifest forbids; it names files by their paths and units by their slots.

    Raises: TargetError: it forbids what is no kind, no file and no unit.
    """
    if not target.search.forbid:
        return Forbidden()
    graph = build_graph(sources)
    kinds = {kind.name for kind in default_grammar().kinds}
    nodes = [node for kind in UNITS for node in graph.of_kind(kind) if node.path]
    slots = {node.slot: node.slot for node in nodes}
    slots |= {node.path: node.slot for node in nodes if node.kind is NodeKind.MODULE}
    for name in target.search.forbid:
        if not (name in kinds or name in slots or name in graph.files):  # a file that does not parse has no node
            near = get_close_matches(name, [*kinds, *slots], _N_NEAR)
            hint = (
                f"did you mean {' or '.join(near)}?"
                if near
                else "`codegraft kinds` and `codegraft graph --json` list them"
            )
            said = f"search.forbid names {name!r}, which is no edit kind, no file, no function and no class"
            raise TargetError(f"{target.folder / MANIFEST}: {said}; {hint}")
    units = frozenset(slots[name] for name in target.search.forbid if name in slots)
    return Forbidden(frozenset(kinds.intersection(target.search.forbid)), units)
