"""The context of a site: what somebody who edits it has to see, as a Python outline under a hard cap of tokens.

The body of the site's function (or, at module level, its top-level statement with a backward slice), the class around it, and what it
names: imports, constants, attributes of self where they are set, signatures of what it calls or makes, fields that it reads. Names
of the site come first, each at least declared; then the body; then what is one hop away, in the order of a personalised PageRank
over two hops. Each part is kept whole, else as a signature, else as a name, else it is dropped and said to be; what does not fit
never stops what is smaller. A body over the cap keeps the statements nearest to the site, the others are `...` and bind their names.

Not covered: names that only a library binds (attributes of an external base, star imports from outside) are nobody's to declare.
"""

from __future__ import annotations

import ast
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING

from graph.model import Confidence, EdgeKind, NodeKind
from graph.names import assigned, bound_inside, declared, loads, name_of, parameters
from graph.outline import (
    DEFINITIONS,
    IMPORTS,
    Level,
    Source,
    binders,
    blocks,
    first_line,
    own_names,
    statements,
)
from graph.packing import Packing, Want
from graph.site import site_of, statement_of
from graph.snapshot import GraphError
from graph.tokens import count_tokens, tokens_of
from graph.units import FUNCTIONS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from graph.code_graph import CodeGraph
    from graph.model import Node

DEFAULT_TOKENS = 3000
DAMPING = 0.85  # of PageRank (Brin and Page 1998)
_ROUNDS = 30  # of the power iteration: 0.85 ** 30 < 0.01
_SLICE = 60  # module-level statements that a block's backward slice takes at most
_BINDINGS = 3  # of one name, when the module binds it more often
_FIELDS = 40  # of a class that the site makes
_SHORT = 80  # characters: a statement that is not worth shortening

_WEIGHTS = {
    EdgeKind.CALLS: 2.0, EdgeKind.INSTANTIATES: 2.0, EdgeKind.READS: 1.0, EdgeKind.WRITES: 0.5, EdgeKind.INHERITS: 1.0,
    EdgeKind.OVERRIDES: 1.0, EdgeKind.RETURNS: 1.0, EdgeKind.SUBMODULE: 1.0, EdgeKind.DECORATES: 0.5, EdgeKind.ARGUMENT: 0.5,
    EdgeKind.IMPORTS: 1.0,
}  # fmt: skip
_SURE = {Confidence.EXACT: 1.0, Confidence.INFERRED: 0.7, Confidence.MAY: 0.2}
_SHOWN = frozenset({NodeKind.FUNCTION, NodeKind.CLASS, NodeKind.ATTRIBUTE, NodeKind.VARIABLE, NodeKind.CONFIG})


@dataclass(frozen=True, slots=True)
class Part:
    """One statement that the context keeps, and how much of it."""

    path: str
    line: int
    name: str
    level: Level


@dataclass(frozen=True, slots=True)
class Context:
    """What an edit at a site needs to see: Python that parses, never more tokens than asked for."""

    slot: str
    text: str
    parts: tuple[Part, ...]
    dropped: tuple[str, ...]  # `path:line name` of what did not fit
    used_tokens: int
    full_tokens: int  # of all files that parse
    names_total: int  # names that the site loads, builtins left out, and attributes of self that the sources set
    names_declared: int  # of those, the ones that the text binds


def context(graph: CodeGraph, slot: str, *, max_tokens: int = DEFAULT_TOKENS) -> Context:
    """Return the context of a node.

    Raises: GraphError: there is no such node, or it stands in no Python file.
    """
    node = graph.nodes.get(slot)
    if node is None or node.path not in graph.files:
        raise GraphError(f"{slot}: stands in no Python file; name a node of the sources")
    full = tokens_of(sum(len(file.data) for file in graph.files.values() if not file.error))
    if graph.files[node.path].error:
        text = f"# {graph.files[node.path].error}\n"
        text = text if count_tokens(text) <= max_tokens else ""
        return Context(slot, text, (), (), count_tokens(text), full, 0, 0)
    chosen = _Chosen(graph, node, max_tokens)
    text = chosen.pack()
    names, attributes = chosen.names()
    known, known_attributes = declared(text)
    return Context(
        slot, text, chosen.parts(), chosen.dropped(), count_tokens(text), full, len(names) + len(attributes),
        len(names & known) + len(attributes & known_attributes),
    )  # fmt: skip


class _Chosen:
    """What is wanted around one node, and what of it is kept."""

    def __init__(self, graph: CodeGraph, node: Node, max_tokens: int) -> None:
        self.graph, self.node = graph, node
        self.site = site = site_of(graph, node)
        self.packing = Packing(max_tokens)
        self.uses = loads(site.body)
        self.bound = bound_inside(site.shown) if isinstance(site.shown, DEFINITIONS) else frozenset[str]()
        self.owner = site.owner
        self.lineage = list(self.bases(self.owner)) if self.owner is not None else []
        self.own_uses = self.self_loads()
        self.members = {name: found for name in self.own_uses if (found := self.attribute(name))}
        self.near = self.relations([self.top()])
        self.wanted: dict[ast.stmt, Want] = {}

    def pack(self) -> str:
        site, packing = self.site, self.packing
        outline = packing.outline(site.source)
        outline.site, outline.wanted = site.shown, frozenset(self.uses)
        if site.shown is not None and (isinstance(site.shown, DEFINITIONS) or not blocks(site.shown)):
            packing.keep(self.want(site.source, site.shown))
        named = list(self.named())
        for want in named:
            packing.keep(replace(want, levels=want.levels[-1:]), share=0.5)
        whole = site.shown is not None and packing.keep(Want(site.source, site.shown, "", (Level.BODY,)))
        for statement, level in () if whole else site.nearest():
            packing.keep(Want(site.source, statement, "", (level,)))
        for want in chain(named, self.related(), self.skeleton()):
            packing.keep(self.wanted.setdefault(want.statement, want))
        return packing.text()

    def names(self) -> tuple[frozenset[str], frozenset[str]]:
        """Return the names that the site loads, and the attributes of self that the sources set."""
        return frozenset(self.uses), frozenset(self.members)

    def parts(self) -> tuple[Part, ...]:
        return tuple(
            Part(source.path, statement.lineno, name_of(statement), level)
            for source, statement, level in self.packing.kept()
        )

    def dropped(self) -> tuple[str, ...]:
        kept = {statement for _, statement, _ in self.packing.kept()}
        left = [want for statement, want in self.wanted.items() if statement not in kept]
        return tuple(f"{want.source.path}:{want.statement.lineno} {want.name}" for want in left)

    def want(self, source: Source, statement: ast.stmt, imports: Iterable[str] = ()) -> Want:
        name = name_of(statement)
        if isinstance(statement, IMPORTS):
            return Want(source, statement, ", ".join(imports) or name, (Level.BODY,), frozenset(imports))
        if blocks(statement):
            header = source.header(statement, blocks(statement)[0].body)
            short = len(header) == 1 and len(header[0]) <= _SHORT
            return Want(source, statement, name, (Level.SIGNATURE,) if short else (Level.SIGNATURE, Level.NAME))
        length = (statement.end_col_offset or 0) if statement.end_lineno == statement.lineno else _SHORT + 1
        bound = any(True for _ in own_names(statement)) or "." in name
        return Want(
            source, statement, name, (Level.BODY,) if length <= _SHORT or not bound else (Level.BODY, Level.NAME)
        )

    # --- names of the site ---------------------------------------------------------------------------------------------------------

    def named(self) -> Iterator[Want]:
        """Walk what declares the names of the site: first one binding of each, by how often it is used, then the others."""
        first: list[Want] = []
        later: list[Want] = []
        names = [(count, self.binding(name)) for name, count in self.uses.items()]
        names += [(self.own_uses[name], found) for name, found in self.members.items()]
        for _, found in sorted(names, key=lambda pair: -pair[0]):  # stable: in the order of use below that
            first += found[:1]
            later += found[1:_BINDINGS]
        for want in chain(first, later, self.sliced()):
            known = self.wanted.get(want.statement)
            merged = replace(want, imports=want.imports | (known.imports if known else frozenset()))
            self.wanted[want.statement] = merged
            yield merged

    def binding(self, name: str) -> list[Want]:
        """Return what binds a name that the site loads, seen from the site; nothing when the site itself does."""
        site = self.site
        if name in self.bound:
            return []
        functions = [
            s for s in site.chain if isinstance(s, FUNCTIONS) and s is not site.shown and not self.site.inside(s)
        ]
        for function in reversed(functions):
            if name in parameters(function):
                return []  # the header around the site shows it
            if found := binders(function.body).get(name):
                return [self.want(site.source, s, (name,)) for s in found if s is not site.shown]
        found = site.source.bound.get(name, ())
        if site.shown is not None and not functions and not isinstance(site.shown, DEFINITIONS):
            before = [s for s in found if s.lineno < site.shown.lineno]
            found = tuple(reversed(before)) or tuple(s for s in found if not self.site.inside(s))
        if not found:
            return list(self.starred(name))
        return [self.want(site.source, s, (name,)) for s in found if s is not site.shown]

    def starred(self, name: str) -> Iterator[Want]:
        """Find a name that no statement of the module binds: the graph may know what a star import brings."""
        for slot in self.near:
            node = self.graph.nodes[slot]
            if node.label == name and node.path != self.node.path and (want := self.definition(slot)):
                yield want
        stars = (
            s
            for s in statements(self.site.source.tree.body)
            if isinstance(s, ast.ImportFrom) and s.names[0].name == "*"
        )
        yield from (self.want(self.site.source, star, ("*",)) for star in stars)

    def sliced(self) -> Iterator[Want]:
        """Walk on backwards from what a module-level block uses to what that is computed from."""
        site = self.site
        if site.shown is None or isinstance(site.chain[0], DEFINITIONS):
            return
        seen: set[ast.stmt] = set()
        pending = [want.statement for want in self.wanted.values() if want.source is site.source]
        while pending and len(seen) < _SLICE:
            statement = pending.pop(0)
            if statement in seen or isinstance(statement, (*DEFINITIONS, *IMPORTS)):
                continue
            seen.add(statement)
            for name in loads([statement]):
                before = [s for s in site.source.bound.get(name, ()) if s.lineno < statement.lineno]
                if before and before[-1] not in self.wanted:
                    yield self.want(site.source, before[-1], (name,))
                    pending.append(before[-1])

    # --- attributes of self --------------------------------------------------------------------------------------------------------

    def self_loads(self) -> Mapping[str, int]:
        """Count the attributes of self that the site loads or calls."""
        methods = [
            s for s in self.site.chain if isinstance(s, FUNCTIONS) and self.owner is not None and s in self.owner.body
        ]
        if isinstance(self.site.shown, ast.ClassDef):
            methods = [s for s in self.site.shown.body if isinstance(s, FUNCTIONS)]
        first = {name for method in methods for name in list(parameters(method))[:1]}
        nodes = (
            n
            for s in self.site.body
            for n in ast.walk(s)
            if isinstance(n, ast.Attribute) and isinstance(n.ctx, ast.Load)
        )
        return Counter(n.attr for n in nodes if isinstance(n.value, ast.Name) and n.value.id in first)

    def attribute(self, name: str) -> list[Want]:
        """Return what sets an attribute in the class around the site or in a base of ours: a method, a field, an assignment to self."""
        for source, owner in self.lineage:
            found = [*binders(owner.body).get(name, ()), *assigned(owner, name)]
            if found:
                return [self.want(source, statement) for statement in found]
        return []

    def bases(self, owner: ast.ClassDef) -> Iterator[tuple[Source, ast.ClassDef]]:
        """Walk a class and its bases of ours, each once."""
        yield self.site.source, owner
        around = (self.node, *self.graph.ancestors(self.node))
        pending = [n.slot for n in around if n.kind is NodeKind.CLASS and n.label == owner.name][:1]
        seen = set(pending)
        while pending:
            for base in self.graph.targets(pending.pop(0), EdgeKind.INHERITS):
                found = statement_of(self.graph, self.graph.nodes[base])
                if base not in seen and found is not None and isinstance(found[1], ast.ClassDef):
                    seen.add(base)
                    pending.append(base)
                    yield found[0], found[1]

    def skeleton(self) -> Iterator[Want]:
        """Walk the other members of the class around a method."""
        if self.owner is not None and self.owner is not self.site.shown:
            for statement in self.owner.body:
                if statement not in self.wanted and (isinstance(statement, FUNCTIONS) or any(own_names(statement))):
                    yield self.want(self.site.source, statement)

    # --- one hop away --------------------------------------------------------------------------------------------------------------

    def related(self) -> Iterator[Want]:
        """Walk what the site calls, makes and reads elsewhere, and the constructor or fields of what it makes, by relevance."""
        rank = self.relevance()
        for slot in sorted(self.near, key=lambda slot: (-rank[slot], slot)):
            want = self.definition(slot)
            if want is None or (want.source is self.site.source and self.site.inside(want.statement)):
                continue
            yield want
            if isinstance(want.statement, ast.ClassDef):
                yield from (self.want(want.source, member) for member in _made_by(want.statement))

    def top(self) -> str:
        """Return the slot of the outermost node of the site."""
        if self.site.shown is None:
            return self.node.slot
        start, end = first_line(self.site.shown), self.site.shown.end_lineno or 0
        around = [n for n in (self.node, *self.graph.ancestors(self.node)) if n.kind is not NodeKind.MODULE]
        inside = [n for n in around if start <= self.graph.line(n) <= end]
        return (inside or [self.node])[-1].slot

    def relations(self, slots: Iterable[str]) -> dict[str, float]:
        """Weigh the definitions that the nodes below some slots lead to."""
        found: defaultdict[str, float] = defaultdict(float)
        pending = list(slots)
        while pending:
            slot = pending.pop()
            for edge in self.graph.out(slot):
                if edge.kind is EdgeKind.CONTAINS:
                    pending.append(edge.target)
                elif edge.kind in _WEIGHTS:
                    for target in self.imported(edge.target):
                        found[target] += _WEIGHTS[edge.kind] * _SURE[edge.confidence]
            for edge in self.graph.into(slot):
                if edge.kind is EdgeKind.CONFIGURES:
                    found[edge.source] += _SURE[edge.confidence]
        shown = (slot for slot in found if self.graph.nodes[slot].kind in _SHOWN)
        return {slot: found[slot] for slot in sorted(shown)}

    def imported(self, slot: str) -> tuple[str, ...]:
        """Return what an import stands for; anything else stands for itself."""
        for _ in range(4):  # re-exports of re-exports
            if self.graph.nodes[slot].kind is not NodeKind.IMPORT:
                break
            slot = next(iter(self.graph.targets(slot, EdgeKind.IMPORTS)), "")
            if not slot:
                return ()
        return (slot,)

    def relevance(self) -> Mapping[str, float]:
        """Rank the neighbourhood of two hops by a PageRank that restarts at the site."""
        links = {"": self.near} | {slot: self.relations([slot]) for slot in self.near}
        rank: dict[str, float] = {"": 1.0}
        for _ in range(_ROUNDS):
            moved: defaultdict[str, float] = defaultdict(float)
            for slot, value in rank.items():
                following = links.get(slot, {})
                total = sum(following.values())
                moved[""] += value * (1 - DAMPING if total else 1.0)
                for target, weight in following.items():
                    moved[target] += DAMPING * value * weight / total
            rank = moved
        return rank

    def definition(self, slot: str) -> Want | None:
        found = statement_of(self.graph, self.graph.nodes[slot])
        if found is None or (blocks(found[1]) and not any(own_names(found[1]))):
            return None
        return self.want(*found)


def _made_by(owner: ast.ClassDef) -> list[ast.stmt]:
    """Return what making an instance takes: the constructor, else the fields."""
    constructor = [s for s in owner.body if isinstance(s, FUNCTIONS) and s.name == "__init__"]
    fields = [s for s in owner.body if isinstance(s, ast.AnnAssign)][:_FIELDS]
    return [*(constructor or fields)]
