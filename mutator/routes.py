"""How the configuration gets to where a number stands: the name that it goes by there, or the constructors that pass a value on.

A configuration is a dataclass of ours, or the arguments that one parser of a command line gives. It is in reach where a name surely holds
it: a parameter that is never None, a name bound once before, an attribute that the constructor sets, or a name of the module that the
function reads already.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from graph.arguments import read_call
from graph.model import EdgeKind, Node, NodeKind
from graph.syntax import BindingKind
from graph.values import Tag
from mutator.facts import is_config_class
from mutator.kind import Reason

if TYPE_CHECKING:
    from collections.abc import Iterator

    from graph.code_graph import CodeGraph
    from graph.values import Value

_MAYBE_NONE = re.compile(r"\bNone\b|\bOptional\b")
_HOPS = 2  # constructors between the number and the configuration
_OPTION = re.compile(r"""['"]--?[\w-]+['"]""")


@dataclass(frozen=True, slots=True)
class Route:
    """What reads the configuration at the number, or the constructors that get a parameter and the calls that pass it a text."""

    declared: str  # slot of the dataclass, or of the call that makes the parser
    reads: str = ""
    constructors: tuple[Node, ...] = ()
    arguments: tuple[tuple[Node, str], ...] = ()


def route_to(graph: CodeGraph, site: Node, name: str) -> Route | Reason:
    """Return how a field of that name gets to a site, or why it does not."""
    near = in_reach(graph, site)
    if near is not None:
        route: Route | Reason = Route(near[1], near[0])
    else:
        owner = graph.nodes[graph.nodes[site.scope].scope]
        method = owner.kind is NodeKind.CLASS and f"{site.scope}/param.self" in graph.nodes
        route = _through(graph, owner, name, _HOPS) if method else Reason.NO_SITE
    return route if isinstance(route, Reason) else _refused(graph, route, name) or route


def in_reach(graph: CodeGraph, site: Node) -> tuple[str, str] | None:
    """Return (expression, slot of what declares it) of the first configuration that is surely held where a site is evaluated."""
    if graph.nodes[site.scope].kind is NodeKind.CLASS:
        return None
    found = (*_named(graph, site), *_kept(graph, site), *_global(graph, site))
    return next(iter(found), None)


def fields_of(graph: CodeGraph, declared: str) -> list[Node]:
    """Return the statements that declare the fields of a dataclass, or add the options of a parser."""
    node = graph.nodes[declared]
    if node.kind is NodeKind.CLASS:
        return [n for n in statements_of(graph, node) if graph.targets(n.slot, EdgeKind.WRITES)]
    statement = graph.statement(node)
    parser = statement.label if statement is not None else ""
    beside = (n for n in graph.files[node.path].nodes if n.kind is NodeKind.STATEMENT and n.label == "add_argument")
    added = [n for n in beside if n.scope == node.scope and graph.text(n).startswith(f"{parser}.add_argument(")]
    return [n for n in added if graph.parent(n) == (graph.parent(statement) if statement is not None else None)]


def field_text(graph: CodeGraph, declared: str, name: str, number: str) -> str:
    """Return the statement that declares one more field, in the manner of those that there are."""
    kind = "int" if number.lstrip("-").replace("_", "").isdigit() else "float"
    if graph.nodes[declared].kind is NodeKind.CLASS:
        return f"{name}: {kind} = {number}"
    last = graph.text(fields_of(graph, declared)[-1])
    options = "".join(_OPTION.findall("".join(graph.text(n) for n in fields_of(graph, declared))))
    quote = "'" if last.count("'") > last.count('"') else '"'
    flag = name if "_" in options else name.replace("_", "-")
    return f"{last.partition('.')[0]}.add_argument({quote}--{flag}{quote}, type={kind}, default={number})"


def statements_of(graph: CodeGraph, unit: Node) -> list[Node]:
    """Return the statements of a unit's own block, without its docstring."""
    inside = [graph.nodes[slot] for slot in graph.targets(unit.slot, EdgeKind.CONTAINS)]
    return [n for n in inside if n.kind is NodeKind.STATEMENT and not graph.text(n).startswith(('"', "'", 'r"'))]


# --- names that hold a configuration ----------------------------------------------------------------------------------------------


def _declares(graph: CodeGraph, values: tuple[Value, ...]) -> str:
    """Return the slot of the dataclass or parser that all values come from; empty when there is another one."""
    if len(values) != 1 or values[0].name.partition("'")[0] not in graph.nodes:
        return ""
    if values[0].tag is Tag.INSTANCE:
        return values[0].name if is_config_class(graph, values[0].name) else ""
    made = graph.nodes[values[0].name.partition("'")[0]]
    parser = values[0].tag is Tag.NAMESPACE and made.label == "ArgumentParser"
    return made.slot if parser and not graph.frozen(made) else ""


def _named(graph: CodeGraph, site: Node) -> Iterator[tuple[str, str]]:
    scope = graph.files[site.path].scopes.get(site.scope)
    for name in scope.bindings if scope is not None else ():
        declared = _declares(graph, graph.held(name, site.scope)) if name != "self" else ""
        if declared and _surely_holds(graph, name, site):
            yield name, declared


def _kept(graph: CodeGraph, site: Node) -> Iterator[tuple[str, str]]:
    """Walk the attributes of `self` that the constructor sets to a configuration before it calls anything of the object."""
    function = graph.nodes[site.scope]
    scope = graph.files[site.path].scopes.get(function.scope)
    constructor = graph.nodes.get(f"{function.scope}.__init__")
    if (
        scope is None
        or constructor is None
        or f"{function.slot}/param.self" not in graph.nodes
        or function == constructor
    ):
        return
    for name, slot in scope.attributes.items():
        writers = [graph.nodes[w] for w in graph.sources(slot, EdgeKind.WRITES)]
        if len(writers) != 1 or writers[0].scope != constructor.slot or graph.parent(writers[0]) != constructor:
            continue
        before = graph.snapshot.files[site.path][constructor.start : writers[0].start].decode().replace("super().", "")
        declared = _declares(graph, graph.values(f"{function.scope}!{name}"))
        if declared and not re.search(r"\bself\.\w+\(", before) and not _none_given(graph, writers[0]):
            yield f"self.{name}", declared


def _none_given(graph: CodeGraph, writer: Node) -> bool:
    """Whether what a constructor keeps may be None: the parameter that it takes says so."""
    given = graph.text(writer).partition("=")[2].strip()
    bound = graph.bindings(given, writer.scope) if given.isidentifier() else ()
    return not bound or any(_MAYBE_NONE.search(graph.text(graph.nodes[b.slot])) for b in bound) or len(bound) > 1


def _global(graph: CodeGraph, site: Node) -> Iterator[tuple[str, str]]:
    """Walk the names of the module that hold a configuration and that the function reads already."""
    module = graph.files[site.path].module
    if graph.nodes[site.scope].kind is not NodeKind.FUNCTION:
        return
    scope, text = graph.files[site.path].scopes[module], graph.text(graph.nodes[site.scope])
    for name in dict.fromkeys(re.findall(r"(?<![\w.])([^\W\d]\w*)\.\w", text)):
        if name not in scope.bindings or len(scope.bindings[name]) != 1:
            continue
        seen = graph.bindings(name, site.scope)
        declared = _declares(graph, graph.held(name, module)) if seen and seen[0].scope == module else ""
        if declared:
            yield name, declared


def _surely_holds(graph: CodeGraph, name: str, site: Node) -> bool:
    """Whether a name is bound once: as a parameter that is never None, or by a statement of the scope's own block before the site."""
    bindings = graph.bindings(name, site.scope)
    if len(bindings) != 1 or len(graph.held(name, site.scope)) != 1:
        return False
    if bindings[0].kind is BindingKind.PARAMETER:
        return not _MAYBE_NONE.search(graph.text(graph.nodes[bindings[0].slot]))
    writers = [graph.nodes[slot] for slot in graph.sources(bindings[0].slot, EdgeKind.WRITES)]
    own_block = (
        bindings[0].kind is BindingKind.VALUE
        and len(writers) == 1
        and graph.parent(writers[0]) == graph.nodes[site.scope]
        and not _MAYBE_NONE.search(graph.text(writers[0]))
    )
    return own_block and writers[0].end < site.start


# --- through constructors ---------------------------------------------------------------------------------------------------------


def _through(graph: CodeGraph, owner: Node, name: str, hops: int) -> Route | Reason:
    """Pass the field through `__init__` of a class without heirs.

    Every call of it has a configuration in reach, the same one, or stands in a constructor that it can be passed through.
    """
    constructor = graph.nodes.get(f"{owner.slot}.__init__")
    calls = [graph.nodes[slot] for slot in graph.sources(owner.slot, EdgeKind.INSTANTIATES)]
    if constructor is None or not calls or not all(_makes_only(graph, call, owner) for call in calls):
        return Reason.UNKNOWN_VALUE
    if graph.sources(owner.slot, EdgeKind.INHERITS) or graph.members(owner.slot, "__slots__"):
        return Reason.SHARED
    arguments: list[tuple[Node, str]] = []
    constructors, declared = {constructor.slot: constructor}, set()
    for call in calls:
        near = in_reach(graph, call)
        if near is not None:
            arguments.append((call, f"{near[0]}.{name}"))
            declared.add(near[1])
            continue
        outer = graph.nodes[call.scope]
        further = (
            _through(graph, graph.nodes[outer.scope], name, hops - 1)
            if outer.label == "__init__" and hops > 1
            else Reason.NO_SITE
        )
        if isinstance(further, Reason):
            return further
        arguments += [(call, name), *further.arguments]
        constructors |= {c.slot: c for c in further.constructors}
        declared.add(further.declared)
    if len(declared) != 1:
        return Reason.UNKNOWN_VALUE
    return Route(declared.pop(), "", tuple(constructors.values()), tuple(dict.fromkeys(arguments)))


def _makes_only(graph: CodeGraph, node: Node, owner: Node) -> bool:
    """Whether a node is a call, not frozen, that makes instances of this class and of no other, which would not know the argument."""
    made = node.kind is NodeKind.CALL and graph.targets(node.slot, EdgeKind.INSTANTIATES) == (owner.slot,)
    return (
        made
        and not graph.frozen(node)
        and "*" not in {a.value[:1] for a in read_call(graph, node).arguments if a.name == "*"} - {"**"}
    )


def _refused(graph: CodeGraph, route: Route, name: str) -> Reason | None:
    """Return why a route does not do: a name that is taken, a configuration with heirs, whose fields would move, or without a field."""
    owners = {graph.nodes[c.scope].slot for c in route.constructors} | {c.slot for c in route.constructors}
    words = re.compile(rf"\b{name}\b")
    known = any(words.search(graph.text(n)) for n in fields_of(graph, route.declared))
    if not name.isidentifier() or known or any(words.search(graph.text(graph.nodes[slot])) for slot in owners):
        return Reason.NAME_CLASH
    if graph.sources(route.declared, EdgeKind.INHERITS):
        return Reason.SHARED
    bare = any(not statements_of(graph, c) for c in route.constructors)
    return Reason.UNKNOWN_VALUE if bare or not fields_of(graph, route.declared) else None
