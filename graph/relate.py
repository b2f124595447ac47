"""From values to edges: what the solution says of the nodes of one file.

The edges of a file depend on its own facts, on the values of its own cells and on the declarations that it consulted, so they stay
as they are until one of these changes.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from graph.config import config_edges
from graph.dimensions import dimension_edges
from graph.model import Confidence, Edge, EdgeKind, NodeKind, Rule
from graph.modules import module_edges
from graph.resolve import ANY_MODULE
from graph.solution import Solution
from graph.training import training_edges
from graph.values import Tag, Value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from graph.facts import CallSite, FunctionFacts
    from graph.model import Node
    from graph.resolve import Resolver
    from graph.syntax import FileSyntax
    from graph.values import Arguments

MANY = 4  # callees of one site; with more of them each is only possible
_DEFINED = (NodeKind.CLASS, NodeKind.FUNCTION, NodeKind.PARAMETER, NodeKind.ATTRIBUTE, NodeKind.VARIABLE)
_IMPLICIT = (NodeKind.STATEMENT, NodeKind.FUNCTION, NodeKind.CLASS, NodeKind.IMPORT)
_STATED = (NodeKind.STATEMENT, NodeKind.PARAMETER)
_POSSIBLE = frozenset({Rule.CALLBACK, Rule.REGISTRY, Rule.OVERRIDE})
_SURENESS = {Confidence.EXACT: 0, Confidence.INFERRED: 1, Confidence.MAY: 2}


def structure(file: FileSyntax) -> tuple[Edge, ...]:
    """Return the edges that a file has by itself: what contains and defines what."""
    contains = [Edge(parent, child, EdgeKind.CONTAINS) for child, parent in file.parents.items()]
    defines = (Edge(n.scope, n.slot, EdgeKind.DEFINES) for n in file.nodes if n.kind in _DEFINED)
    return (*contains, *defines, *dict.fromkeys(_names(file)))


class Relations:
    """Reads the edges of files off one solution."""

    def __init__(self, resolver: Resolver, files: Mapping[str, FileSyntax]) -> None:
        self.resolver, self.tables = resolver, resolver.tables
        self.modules = {file.module: file for file in files.values()}
        self.consulted: set[str] = set()
        self._values: Callable[[str], list[Value]]  # of the file that is read

    def of_file(self, file: FileSyntax) -> tuple[tuple[Edge, ...], frozenset[str]]:
        """Return the edges of a file that values decide, each once, and the declarations that they depend on."""
        self.consulted = {ANY_MODULE}
        self.tables.visited.clear()
        parts = (
            self._classes, self._imports, self._call_sites, self._implicit, self._returns, self._attributes, self._decorators
        )  # fmt: skip
        solution = Solution(self.resolver, file, self.consulted)
        self._values = solution.values
        learning = (
            module_edges(solution, self.attribute_nodes), config_edges(solution, self.attribute_nodes), dimension_edges(solution),
            training_edges(solution),
        )  # fmt: skip
        surest: dict[tuple[str, str, EdgeKind], Edge] = {}
        for edge in chain((edge for part in parts for edge in part(file)), *learning):
            known = surest.get(edge[:3])
            if known is None or (_SURENESS[edge.confidence], edge.rule) < (_SURENESS[known.confidence], known.rule):
                surest[edge[:3]] = edge
        return tuple(surest.values()), frozenset(self.consulted | self.tables.visited)

    def node(self, slot: str) -> Node | None:
        """Return a node of the sources."""
        file = self.modules.get(slot.partition(":")[0])
        return file.by_slot.get(slot) if file is not None else None

    # --- declarations -------------------------------------------------------------------------------------------------------------

    def _classes(self, file: FileSyntax) -> Iterator[Edge]:
        for slot, facts in file.facts.classes.items():
            self.consulted.update(self.tables.lineage(slot))
            bases = self.tables.bases(slot)
            yield from (Edge(slot, base.name, EdgeKind.INHERITS) for base in bases)
            yield from self._initialized(slot)
            for text in facts.bases:
                if self.tables.resolve(text, facts.scope) is None:
                    yield Edge(slot, f"?{text}", EdgeKind.UNRESOLVED)
        for function in file.facts.functions.values():
            if function.owner:
                name = function.slot.rpartition(".")[2]
                name = self.node(function.slot).label if self.node(function.slot) else name  # type: ignore[union-attr]
                overridden = self._method(self.tables.lineage(function.owner)[1:], name)
                if overridden:
                    yield Edge(function.slot, overridden, EdgeKind.OVERRIDES)

    def _initialized(self, slot: str) -> Iterator[Edge]:
        """A class statement runs the `__init_subclass__` of its bases."""
        found = self._method(self.tables.lineage(slot)[1:], "__init_subclass__")
        if found:
            yield Edge(slot, found, EdgeKind.CALLS, Confidence.EXACT, Rule.PROTOCOL)

    def _method(self, line: Iterable[str], name: str) -> str:
        for slot in line:
            facts = self.modules[slot.partition(":")[0]].facts if slot.partition(":")[0] in self.modules else None
            for binding in reversed(facts.names.get(slot, {}).get(name, ()) if facts is not None else ()):
                return binding.target if binding.kind == "function" else ""
        return ""

    def _imports(self, file: FileSyntax) -> Iterator[Edge]:
        for item in file.facts.imports:
            if not item.slot:
                continue
            target = f"{item.base}.{item.name}" if item.name else item.base
            found = self._imported(file.module, item.base, item.name)
            yield (
                Edge(item.slot, found, EdgeKind.IMPORTS)
                if found
                else Edge(item.slot, f"?{target}", EdgeKind.UNRESOLVED)
            )

    def _imported(self, module: str, base: str, name: str) -> str:
        found = self.tables.find_module(base, module) if name else ""
        self.tables.visited.add(found or base)
        variable = f"{found}:/var.{name}"
        if (
            found
            and self.node(variable) is not None
            and {b.kind for b in self.tables.names_of(found).get(name, ())} <= {"alias", "value"}
        ):
            return variable
        held = self.tables.imported(f"{base}.{name}" if name else base, module, named=bool(name))
        return held.name if held is not None else ""

    def _decorators(self, file: FileSyntax) -> Iterator[Edge]:
        for cell, slot in file.facts.decorators:
            for held in self._values(cell):
                if held.tag in (Tag.FUNCTION, Tag.CLASS, Tag.METHOD, Tag.EXTERNAL, Tag.MADE):
                    yield Edge(held.name, slot, EdgeKind.DECORATES)

    # --- calls --------------------------------------------------------------------------------------------------------------------

    def _call_sites(self, file: FileSyntax) -> Iterator[Edge]:
        for site in file.facts.sites:
            runs = self._values(f"{site.site}()")
            if not runs:
                yield Edge(site.site, f"?{site.text}", EdgeKind.UNRESOLVED)
                continue
            static = self._static(file, site)
            n_callees = len({run.name for run in runs if not str(run.of).startswith(("made", Rule.CALLBACK))})
            for run in runs:
                self.consulted.add(run.name)
                yield self._call(site.site, run, n_callees, static, site.written)
                function = self.tables.functions.get(run.name)
                if function is not None:
                    bound = str(run.of).endswith("+")
                    callback = str(run.of).startswith((Rule.CALLBACK, Rule.PROPERTY, Rule.DECORATOR, Rule.PARTIAL))
                    for name in parameters(function, () if callback else site.arguments, bound=bound):
                        slot = f"{function.slot}/param.{name}"
                        if self.node(slot) is not None:  # those of a lambda have no node
                            yield Edge(site.site, slot, EdgeKind.ARGUMENT, Confidence.INFERRED)

    def _static(self, file: FileSyntax, site: CallSite) -> Value | None:
        """Return what the names alone say that a site calls."""
        text = site.text
        if site.written == "other" or not text.replace(".", "_").isidentifier():
            return None
        return self.tables.resolve(text, file.by_slot[site.site].scope)

    def _call(self, source: str, run: Value, n_callees: int, static: Value | None = None, written: str = "") -> Edge:
        rule = str(run.of).removesuffix("+")
        kind = EdgeKind.INSTANTIATES if rule.startswith("made") else EdgeKind.CALLS
        rule = Rule.REGISTRY if rule == "made may" else rule
        exact = static is not None and n_callees <= 1 and (
            static.name == run.name or (static.tag is Tag.CLASS and rule in ("made", Rule.METHOD))
        )  # fmt: skip
        if rule in ("made", Rule.FLOW, Rule.METHOD):
            named = Rule.NAME if written == "name" else Rule.MEMBER
            rule = named if exact else Rule.METHOD if str(run.of).endswith("+") else Rule.FLOW
        if rule in _POSSIBLE or n_callees > MANY:
            return Edge(source, run.name, kind, Confidence.MAY, rule)
        return Edge(source, run.name, kind, Confidence.EXACT if exact else Confidence.INFERRED, rule)

    def _implicit(self, file: FileSyntax) -> Iterator[Edge]:
        """Walk what statements and definitions run without a call: properties, operators, iteration, decorators."""
        for node in file.nodes:
            if node.kind in _IMPLICIT:
                self.consulted.update(run.name for run in self._values(f"{node.slot}()"))
                runs = [
                    r
                    for r in self._values(f"{node.slot}()")
                    if r.name in self.tables.functions or str(r.of).startswith("made")
                ]
                for run in runs:
                    yield self._call(node.slot, run, len(runs))

    def _returns(self, file: FileSyntax) -> Iterator[Edge]:
        for slot, function in file.facts.functions.items():
            if function.owner and (
                function.makes or (function.parameters[:1] and function.parameters[0].name in function.passes)
            ):
                yield Edge(slot, function.owner, EdgeKind.RETURNS, Confidence.INFERRED)
            for held in self._values(f"{slot}@return"):
                if held.tag in (Tag.INSTANCE, Tag.CLASS, Tag.FUNCTION, Tag.METHOD, Tag.MADE, Tag.EXTERNAL):
                    yield Edge(slot, held.name, EdgeKind.RETURNS, Confidence.INFERRED)

    # --- names and attributes -----------------------------------------------------------------------------------------------------

    def _attributes(self, file: FileSyntax) -> Iterator[Edge]:
        for touch in file.facts.accesses:
            kind = EdgeKind.WRITES if touch.writes else EdgeKind.READS
            for held in self._values(touch.base):
                for slot in self.attribute_nodes(held, touch.attr):
                    yield Edge(touch.statement, slot, kind, Confidence.INFERRED)

    def attribute_nodes(self, held: Value, name: str) -> Iterator[str]:
        """Walk the nodes that an attribute of a value has."""
        if held.tag in (Tag.INSTANCE, Tag.CLASS):
            self.consulted.add(held.name)
            for owner in self.tables.lineage(held.name):
                slot = f"{owner}/attr.{name}"
                if self.node(slot) is not None:
                    yield slot
                    return
        elif held.tag is Tag.MODULE:
            self.consulted.add(held.name)
            slot = f"{held.name}:/var.{name}"
            if self.node(slot) is not None:
                yield slot


def parameters(function: FunctionFacts, arguments: Arguments, *, bound: bool) -> Iterator[str]:
    """Walk the names of the parameters that the arguments of a call reach; a `*args` parameter takes what is left."""
    listed = function.parameters[1:] if bound else function.parameters
    positional = [p.name for p in listed if p.kind in ("positional", "either")]
    named = {p.name for p in listed if p.kind in ("either", "keyword")}
    star = next((p.name for p in listed if p.kind == "star"), "")
    double = next((p.name for p in listed if p.kind == "double-star"), "")
    place = 0
    for name, _ in arguments:
        if name == "*":
            yield from positional[place:]
            if star:
                yield star
            place = len(positional)
        elif name == "**":
            yield from sorted(named)
            if double:
                yield double
        elif name:
            if name in named or double:
                yield name if name in named else double
        else:
            if place < len(positional) or star:
                yield positional[place] if place < len(positional) else star
            place += 1


def _names(file: FileSyntax) -> Iterator[Edge]:
    for use in file.facts.uses:
        scope = file.scopes.get(use.scope)
        for binding in scope.bindings.get(use.name, ()) if scope is not None else ():
            node = file.by_slot[binding.slot]
            if node.kind not in (NodeKind.FUNCTION, NodeKind.CLASS) and not (
                use.writes and node.kind is NodeKind.IMPORT
            ):
                yield Edge(use.statement, binding.slot, EdgeKind.WRITES if use.writes else EdgeKind.READS)
        for definition in _definitions(file, use.definitions):
            binder = file.by_slot.get(definition)
            if binder is not None and binder.kind in _STATED:
                yield Edge(definition, use.statement, EdgeKind.DEF_USE)


def _definitions(file: FileSyntax, cells: Iterable[str]) -> Iterator[str]:
    """Walk the binders behind definition cells, through the cells that loops bring around."""
    pending, seen = list(cells), set[str]()
    while pending:
        cell = pending.pop()
        if cell in seen:
            continue
        seen.add(cell)
        if cell in file.facts.definitions:
            yield file.facts.definitions[cell]
        pending.extend(file.facts.joins.get(cell, ()))
