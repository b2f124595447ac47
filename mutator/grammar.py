"""The grammar: which edits exist. A value: kinds in an order, added with `+`, narrowed with `only` and `without`."""

from __future__ import annotations

from dataclasses import dataclass, field
from difflib import get_close_matches
from types import MappingProxyType
from typing import TYPE_CHECKING

from graph.code_graph import CodeGraph
from graph.model import Node, NodeKind
from mutator.domain import Domain
from mutator.edit import Choice, Edit, EditError, SiteGone
from mutator.intents import Intent, Promise, ReplaceExpr, SetArg
from mutator.kind import EditKind, Reason, Refused
from mutator.protect import is_protected
from mutator.render import render
from mutator.verify import verify

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from graph.snapshot import Snapshot
    from mutator.patch import Patch

_UNITS = (NodeKind.FUNCTION, NodeKind.CLASS, NodeKind.MODULE)


@dataclass(frozen=True, slots=True)
class Grammar:
    """Edit kinds in a fixed order, and how often a policy without experience should try each: 1 unless a prior says otherwise."""

    kinds: tuple[EditKind, ...]
    priors: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))

    def __add__(self, other: Grammar) -> Grammar:
        """Return the kinds of both; the right one's prior holds.

        Raises: EditError: both have a kind of the same name.
        """
        twice = {kind.name for kind in self.kinds} & {kind.name for kind in other.kinds}
        if twice:
            raise EditError(f"{min(twice)}: is in both grammars; give one of the kinds another name")
        return Grammar((*self.kinds, *other.kinds), {**self.priors, **other.priors})

    @property
    def preserving(self) -> frozenset[str]:
        """The names of the kinds that change nothing that is computed."""
        return frozenset(kind.name for kind in self.kinds if kind.preserves)

    def only(self, *names: str) -> Grammar:
        """Return the grammar with the named kinds alone.

        Raises: EditError: a name is no kind of this grammar.
        """
        return Grammar(tuple(self.kind(name) for name in names), self.priors)

    def without(self, *names: str) -> Grammar:
        """Return the grammar without the named kinds.

        Raises: EditError: a name is no kind of this grammar.
        """
        left_out = {self.kind(name).name for name in names}
        return Grammar(tuple(kind for kind in self.kinds if kind.name not in left_out), self.priors)

    def weighted(self, **priors: float) -> Grammar:
        """Return the grammar with other priors; underscores stand for hyphens: `weighted(scale_literal=5.0)`.

        Raises: EditError: a name is no kind of this grammar, or a prior is not positive.
        """
        named = {self.kind(name.replace("_", "-")).name: prior for name, prior in priors.items()}
        for name, prior in named.items():
            if not prior > 0:
                raise EditError(f"{name}: has the prior {prior}; give a number above 0, or leave the kind out")
        return Grammar(self.kinds, {**self.priors, **named})

    def kind(self, name: str) -> EditKind:
        """Return the kind of that name.

        Raises: EditError: there is none.
        """
        for kind in self.kinds:
            if kind.name == name:
                return kind
        near = get_close_matches(name, [kind.name for kind in self.kinds], 3) or [kind.name for kind in self.kinds[:3]]
        raise EditError(
            f"{name}: is no edit kind; did you mean {' or '.join(near)}? `codegraft kinds` lists all {len(self.kinds)}"
        )

    def sites(
        self, graph: CodeGraph, *, protected: frozenset[str] = frozenset()
    ) -> Iterator[tuple[EditKind, Node, Domain]]:
        """Walk where something may be edited, and what may be chosen there: kind by kind, in source order."""
        nodes: dict[NodeKind, list[Node]] = {}
        for node in graph.nodes.values():
            if node.path and not graph.frozen(node):
                nodes.setdefault(node.kind, []).append(node)
        for kind in self.kinds:
            for site in nodes.get(kind.at, ()):
                domain = _domain(kind, graph, site)
                if isinstance(domain, Domain) and not is_protected(graph, site, protected):
                    yield kind, site, domain

    def edits(self, graph: CodeGraph, *, protected: frozenset[str] = frozenset()) -> Iterator[Edit]:
        """Walk all legal edits on the grids of their domains: kind by kind, site by site, choice by choice."""
        for kind, site, domain in self.sites(graph, protected=protected):
            fits: dict[object, bool] = {}
            for choice in domain.options():
                intents = _plan(kind, graph, site, choice)
                layout = tuple(map(_layout, intents))
                if layout not in fits:
                    fits[layout] = _fits(graph, intents, protected)
                if fits[layout]:
                    yield Edit(kind.name, site.slot, choice, site.anchor, kind.version)

    def plan(self, graph: CodeGraph, edit: Edit, *, protected: frozenset[str] = frozenset()) -> Patch:
        """Turn an edit into a verified patch on the graph's snapshot.

        Raises: SiteGone: the site is not there. Refused: the edit is not legal there or does not verify. EditError: no such kind.
        """
        return self._plan(graph, edit, protected)[0]

    def intents(self, graph: CodeGraph, edit: Edit, *, protected: frozenset[str] = frozenset()) -> tuple[Intent, ...]:
        """Say what an edit changes, before it is rendered and verified; see `plan` for what it raises."""
        kind = self.kind(edit.kind)
        if edit.version != kind.version:
            raise Refused(
                Reason.NO_CHOICE,
                f"{edit.uri}: was made by version {edit.version} of {kind.name}, this is {kind.version}; list the edits again",
            )
        site, domain = self._site(graph, kind, edit, protected)
        choice = domain.read(edit.choice)
        if choice is None:
            raise Refused(
                Reason.NO_CHOICE,
                f"{edit.uri}: the site offers no such choice; {f'choose {domain}' if domain.axes else 'there is nothing to choose'}",
            )
        return _plan(kind, graph, site, choice)

    def _plan(self, graph: CodeGraph, edit: Edit, protected: frozenset[str]) -> tuple[Patch, tuple[str, ...]]:
        intents = self.intents(graph, edit, protected=protected)
        promises = (*graph.snapshot.promises, *(f"{i.unit}: {i.property}" for i in intents if isinstance(i, Promise)))
        patch = render(graph, intents)
        if not patch.files:
            raise Refused(Reason.NO_EFFECT, f"{edit.uri}: changes nothing")
        verify(graph, patch, protected=protected, promises=promises)
        return patch, promises

    def apply(self, graph: CodeGraph, edit: Edit, *, protected: frozenset[str] = frozenset()) -> Snapshot:
        """Return the snapshot after an edit; see `plan` for what it raises."""
        patch, promises = self._plan(graph, edit, protected)
        return graph.snapshot.with_files(patch.apply(graph.snapshot.files), edit=edit.uri, promises=promises)

    def _site(self, graph: CodeGraph, kind: EditKind, edit: Edit, protected: frozenset[str]) -> tuple[Node, Domain]:
        site = find_site(graph, edit)
        domain = _domain(kind, graph, site) if site.kind is kind.at else Reason.NO_SITE
        if isinstance(domain, Reason) and site.kind in _UNITS and not graph.frozen(site):
            # A person names the unit: its only site is meant.
            inside = [n for n in graph.files[site.path].nodes if n.scope == site.slot and n.kind is kind.at]
            offered = [(n, d) for n in inside if isinstance(d := _domain(kind, graph, n), Domain)]
            site, domain = offered[0] if len(offered) == 1 else (site, domain)
        if graph.frozen(site):
            raise Refused(Reason.FROZEN, f"{site.path}: is frozen; edit the mutable files")
        if is_protected(graph, site, protected):
            raise Refused(
                Reason.PROTECTED,
                f"{site.slot}: is protected; it belongs to the budget, the seed or the measuring, or is spared",
            )
        if isinstance(domain, Reason):
            raise Refused(
                domain,
                f"{site.slot}: {kind.name} does not apply there: {domain.says}; `codegraft edits` lists where it does",
            )
        return site, domain


def _domain(kind: EditKind, graph: CodeGraph, site: Node) -> Domain | Reason:
    domain = kind.domain(graph, site)
    if not isinstance(domain, (Domain, Reason)):
        raise EditError(f"{kind.name}: its domain at {site.slot} is {domain!r}; return a Domain or a Reason")
    return domain


def _plan(kind: EditKind, graph: CodeGraph, site: Node, choice: Choice) -> tuple[Intent, ...]:
    intents = kind.plan(graph, site, dict(choice))
    if not isinstance(intents, tuple) or not all(isinstance(intent, Intent) for intent in intents):
        raise EditError(f"{kind.name}: its plan at {site.slot} is {intents!r}; return a tuple of intents")
    return intents


def find_site(graph: CodeGraph, edit: Edit) -> Node:
    """Find the node that an edit names: by its slot, and by its anchor when others were inserted before it.

    Raises: SiteGone: it is not there any more, or its statement has changed.
    """
    node = graph.nodes.get(edit.site)
    if node is not None and node.path and edit.anchor in ("", node.anchor):
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


def _layout(intent: Intent) -> object:
    """Return what decides whether an intent fits where it goes: all but the expressions that it writes."""
    return (
        (type(intent), intent.node)
        if isinstance(intent, ReplaceExpr)
        else (type(intent), intent.call, intent.name)
        if isinstance(intent, SetArg)
        else intent
    )


def _fits(graph: CodeGraph, intents: tuple[Intent, ...], protected: frozenset[str]) -> bool:
    """Try an edit out where the layout decides: a shared line, a comment, a name. One literal for another always fits."""
    if intents and all(_is_other_literal(graph, intent) for intent in intents):
        return True
    try:
        patch = render(graph, intents)
        verify(graph, patch, protected=protected, promises=graph.snapshot.promises)
    except EditError:
        return False
    return bool(patch.files)


def _is_other_literal(graph: CodeGraph, intent: Intent) -> bool:
    """Whether an intent puts another text in the place of a literal."""
    if not isinstance(intent, ReplaceExpr) or not isinstance(intent.node, Node):
        return False
    return intent.node.kind is NodeKind.LITERAL and intent.text != graph.text(intent.node)
