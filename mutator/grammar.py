"""The grammar: which edits exist. A value: kinds in an order, added with `+`, narrowed with `only`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from graph.code_graph import CodeGraph
from graph.model import Node, NodeKind
from mutator.edit import Edit, EditError, SiteGone
from mutator.intents import ReplaceExpr
from mutator.kind import Choice, EditKind, Reason, Refused
from mutator.kinds.flip_flag import FlipFlag
from mutator.kinds.insert_grad_clip import InsertGradClip
from mutator.kinds.insert_norm import InsertNorm
from mutator.kinds.replace_operator import ReplaceOperator
from mutator.kinds.scale_literal import ScaleLiteral
from mutator.kinds.swap_activation import SwapActivation
from mutator.kinds.swap_optimizer import SwapOptimizer
from mutator.kinds.thread_parameter import ThreadParameter
from mutator.protect import is_protected
from mutator.render import render
from mutator.verify import verify

if TYPE_CHECKING:
    from collections.abc import Iterator

    from graph.snapshot import Snapshot
    from mutator.patch import Patch


@dataclass(frozen=True, slots=True)
class Grammar:
    """Edit kinds in a fixed order."""

    kinds: tuple[EditKind, ...]

    def __add__(self, other: Grammar) -> Grammar:
        """Return the kinds of both."""
        return Grammar((*self.kinds, *other.kinds))

    def only(self, *names: str) -> Grammar:
        """Return the grammar with the named kinds alone.

        Raises: EditError: a name is no kind of this grammar.
        """
        return Grammar(tuple(self.kind(name) for name in names))

    def kind(self, name: str) -> EditKind:
        """Return the kind of that name.

        Raises: EditError: there is none.
        """
        for kind in self.kinds:
            if kind.name == name:
                return kind
        raise EditError(f"{name}: is no edit kind; choose one of {', '.join(kind.name for kind in self.kinds)}")

    def edits(self, graph: CodeGraph, *, protected: frozenset[str] = frozenset()) -> Iterator[Edit]:
        """Walk all legal edits: kind by kind, site by site in source order, choice by choice."""
        for kind in self.kinds:
            for site in kind.sites(graph):
                if graph.frozen(site) or is_protected(graph, site, protected):
                    continue
                for choice in kind.choices(graph, site):
                    if _applies(graph, kind, site, choice, protected):
                        yield Edit(kind.name, site.slot, choice, site.anchor)

    def plan(self, graph: CodeGraph, edit: Edit, *, protected: frozenset[str] = frozenset()) -> Patch:
        """Turn an edit into a verified patch on the graph's snapshot.

        Raises: SiteGone: the site is not there. Refused: the edit is not legal there or does not verify. EditError: no such kind.
        """
        kind = self.kind(edit.kind)
        site = self._site(graph, kind, edit, protected)
        choices = kind.choices(graph, site)
        if edit.choice not in choices:
            offered = ", ".join(Edit("", "", choice).uri[1:] or "nothing to choose" for choice in choices)
            raise Refused(Reason.NO_CHOICE, f"{edit.uri}: the site offers no such choice; choose one of {offered}")
        patch = render(graph, kind.plan(graph, site, edit.choice))
        verify(graph, patch, protected=protected)
        return patch

    def apply(self, graph: CodeGraph, edit: Edit, *, protected: frozenset[str] = frozenset()) -> Snapshot:
        """Return the snapshot after an edit; see `plan` for what it raises."""
        patch = self.plan(graph, edit, protected=protected)
        return graph.snapshot.with_files(patch.apply(graph.snapshot.files), edit=edit.uri)

    def _site(self, graph: CodeGraph, kind: EditKind, edit: Edit, protected: frozenset[str]) -> Node:
        site = find_site(graph, edit)
        sites = {found.slot for found in kind.sites(graph)}
        if site.slot not in sites and site.kind in (NodeKind.FUNCTION, NodeKind.CLASS, NodeKind.MODULE):
            inside = [
                slot for slot in sites if graph.nodes[slot].scope == site.slot
            ]  # a person names the unit: its only site is meant
            site = graph.nodes[inside[0]] if len(inside) == 1 else site
        if graph.frozen(site):
            raise Refused(Reason.FROZEN, f"{site.path}: is frozen; edit the mutable files")
        if is_protected(graph, site, protected):
            raise Refused(
                Reason.PROTECTED, f"{site.slot}: is protected; it belongs to the budget, the seed or the measuring"
            )
        if site.slot not in sites:
            raise Refused(
                Reason.NO_SITE, f"{site.slot}: {kind.name} does not apply there; `codegraft edits` lists where it does"
            )
        return site


def find_site(graph: CodeGraph, edit: Edit) -> Node:
    """Find the node that an edit names: by its slot, and by its anchor when others were inserted before it.

    Raises: SiteGone: it is not there any more, or its statement has changed.
    """
    node = graph.nodes.get(edit.site)
    if node is not None and edit.anchor in ("", node.anchor):
        return node
    stem = edit.site.rstrip("0123456789").removesuffix(".")
    moved = [
        n
        for n in graph.nodes.values()
        if edit.anchor and n.anchor == edit.anchor and n.slot.rstrip("0123456789").removesuffix(".") == stem
    ]
    if len(moved) == 1:
        return moved[0]
    why = "is not in the sources" if node is None else "has changed since the edit was made"
    raise SiteGone(f"{edit.site}: {why}; list the edits again with `codegraft edits`")


def _applies(graph: CodeGraph, kind: EditKind, site: Node, choice: Choice, protected: frozenset[str]) -> bool:
    """Try an edit out where the layout decides: a shared line, a comment, a name. One literal or operator for another always fits."""
    intents = kind.plan(graph, site, choice)
    if all(isinstance(intent, ReplaceExpr) and intent.node.kind is not NodeKind.CALL for intent in intents):
        return True
    try:
        verify(graph, render(graph, intents), protected=protected)
    except EditError:
        return False
    return True


DEFAULT_GRAMMAR = Grammar(
    (
        ScaleLiteral(),
        FlipFlag(),
        ReplaceOperator(),
        SwapActivation(),
        SwapOptimizer(),
        InsertGradClip(),
        InsertNorm(),
        ThreadParameter(),
    )
)
