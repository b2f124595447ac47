"""What a call runs outside the sources, seen through what a repository wraps around it, and how its file writes such a thing.

Wrappers are followed one hop at a time, three at most: `def norm(x): return F.rms_norm(x, ...)`, a module whose `forward` is one such
return, a subclass of a library class. Functions that do anything besides are not looked into.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from graph.arguments import Argument, read_call
from graph.code_graph import CodeGraph
from graph.model import EdgeKind, Node, NodeKind
from graph.syntax import BindingKind, dotted, parts, text_of
from mutator.facts import NONLINEARITIES, TORCH_MODULE
from mutator.intents import EnsureImport
from mutator.memory import remembered

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tree_sitter import Node as SyntaxNode

_HOPS = 3
_ELEMENTWISE = NONLINEARITIES | {
    "hardtanh",
    "logsigmoid",
    "pow",
    "square",
    "sqrt",
    "exp",
    "erf",
    "abs",
    "clamp",
    "mul",
    "add",
    "minimum",
    "maximum",
}
_ALIASES = {"torch.nn.functional": "F", "torch.nn": "nn"}  # what everyone calls them


def reached(graph: CodeGraph, call: Node) -> tuple[str, ...]:
    """Return the import paths of the externals that a call runs or makes, through one-line wrappers and subclasses; each once.

    A module that is called gives `torch.nn.GELU.__call__`, a subclass `torch.nn.Linear`. Empty when any callee cannot be followed.
    """
    return _reached(graph, call, _HOPS)


def runs_only(graph: CodeGraph, call: Node) -> str:
    """Return the one external that a call itself names, not through a wrapper; empty when it may run something else."""
    callees = graph.callees(call)
    return callees[0] if len(callees) == 1 and not graph.nodes[callees[0]].path else ""


def wrapped(graph: CodeGraph, function: Node) -> Node | None:
    """Return the call that a function of ours is around: its body is one `return` of it, after a docstring; None when it does more."""
    statements = [n for n in _within(graph, function) if n.kind is NodeKind.STATEMENT]
    body = [n for n in statements if not graph.text(n).startswith(('"', "'", 'r"'))]
    if len(body) != 1 or body[0].label != "return":
        return None
    value = parts(graph.syntax(body[0]))
    return next((n for n in _within(graph, body[0]) if n.kind is NodeKind.CALL and value and _spans(n, value[0])), None)


def mentions(graph: CodeGraph, target: str) -> Iterator[tuple[str, SyntaxNode]]:
    """Walk where the sources write an external out, by its path or an imported name, with the path of the file; imports left out."""
    word = re.compile(rb"\b%s\b" % target.rpartition(".")[2].encode())
    for path, file in graph.files.items():
        for found in word.finditer(file.data):
            syntax = file.tree.root_node.descendant_for_byte_range(*found.span())
            whole = syntax.parent if syntax is not None and syntax.parent is not None else None
            if whole is not None and whole.type == "attribute" and whole.end_byte == found.end():
                syntax = whole
            if syntax is not None and meant(graph, file.module, dotted(syntax)) == target and not _imports(syntax):
                yield path, syntax


def meant(graph: CodeGraph, scope: str, name: str) -> str:
    """Return the import path that a dotted name stands for as seen from a scope; empty when no import brings its first part."""
    first, dot, rest = name.partition(".")
    found = graph.bindings(first, scope) if first else ()
    targets = {b.target for b in found if b.kind is BindingKind.IMPORT}
    return f"{targets.pop()}{dot}{rest}" if len(targets) == 1 and all(b.target for b in found) else ""


def module_alias(graph: CodeGraph, site: Node, module: str) -> str | None:
    """Return how the file of a site names a module, as seen there: `F`, `nn.functional`, `torch.nn.functional`; None when it does not.

    The shortest name wins.
    """
    file = graph.files[site.path]
    names = [
        name + module.removeprefix(target)
        for name, found in file.scopes[file.module].bindings.items()
        for target in {b.target for b in found if b.kind is BindingKind.IMPORT}
        if (module == target or module.startswith(f"{target}.")) and _seen(graph, site, name, target)
    ]
    return min(names, key=lambda name: (len(name), name), default=None)


def spell(graph: CodeGraph, site: Node, path: str) -> tuple[str, tuple[EnsureImport, ...]]:
    """Return how code at a site should write an external, and the import that it needs for that; `torch.nn.functional.silu` -> `F.silu`.

    At a call the author's own prefix is kept: beside `torch.nn.GELU()` goes `torch.nn.SiLU`.
    """
    module, _, name = path.rpartition(".")
    prefix = read_call(graph, site).function.rpartition(".")[0] if site.kind is NodeKind.CALL else ""
    if prefix and meant(graph, site.scope, prefix) == module:
        return f"{prefix}.{name}", ()
    alias = module_alias(graph, site, module)
    if alias is not None:
        return f"{alias}.{name}", ()
    if module in _ALIASES:
        return f"{_ALIASES[module]}.{name}", (EnsureImport(site, module, _ALIASES[module]),)
    root = module.partition(".")[0]
    return path, (EnsureImport(site, root if root == "torch" else module, root if root == "torch" else module),)


def argument_of(graph: CodeGraph, call: Node, name: str, position: int) -> Argument | None:
    """Return the argument that a call gives by a keyword or at a position; None when it gives none, or a star may."""
    found = read_call(graph, call)
    known = found.keyword(name)
    if known is not None or found.starred:
        return known
    positional = [argument for argument in found.arguments if not argument.name]
    return positional[position] if 0 <= position < len(positional) else None


def attribute_calls(graph: CodeGraph, made: Node) -> tuple[Node, ...]:
    """Return the calls `self.act(x)` of what `self.act = <made>` holds; empty when the attribute is used in another way as well."""
    statement, method = graph.statement(made), graph.nodes[made.scope]
    match = (
        re.fullmatch(r"self\.(\w+)\s*=\s*", graph.text(statement).removesuffix(graph.text(made))) if statement else None
    )
    if match is None or statement is None or not statement.slot.startswith(method.slot):
        return ()
    owner, name = method.scope, match[1]
    file = graph.files[made.path]
    calls = tuple(
        n
        for n in file.nodes
        if n.kind is NodeKind.CALL
        and n.label == name
        and graph.nodes[n.scope].scope == owner
        and _on_self(graph, n, name)
    )
    used = re.compile(rb"\.%s\b(?!\()" % name.encode())
    others = sum(len(used.findall(other.data)) for other in graph.files.values()) - 1  # but for the assignment itself
    plain = all(len(read_call(graph, call).arguments) == 1 for call in calls)
    return calls if plain and not others else ()


def elementwise_class(graph: CodeGraph, class_slot: str) -> bool:
    """Whether a class of ours is a torch module without state whose `forward` computes each element of its one input by itself."""
    methods = [graph.nodes[slot] for slot in graph.targets(class_slot, EdgeKind.DEFINES)]
    forward = next((n for n in methods if n.label == "forward"), None)
    if TORCH_MODULE not in graph.external_bases(class_slot) or forward is None:
        return False
    if any(n.kind is not NodeKind.FUNCTION or n.label not in ("forward", "__init__") for n in methods):
        return False
    parameters = [
        slot for slot in graph.targets(forward.slot, EdgeKind.DEFINES) if graph.nodes[slot].kind is NodeKind.PARAMETER
    ]
    inside = [n for n in graph.files[forward.path].nodes if n.scope == forward.slot]
    calls = [slot for n in inside if n.kind is NodeKind.CALL for slot in graph.callees(n) or ("",)]
    return (
        len(parameters) == 2
        and all(slot.startswith("math.") or slot.rpartition(".")[2] in _ELEMENTWISE for slot in calls)
        and not any(n.kind is NodeKind.OPERATOR and n.label == "matmul" for n in inside)
    )


@remembered
def _reached(graph: CodeGraph, call: Node, hops: int) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for slot in _made(graph, graph.callees(call)):
        node = graph.nodes[slot]
        paths: tuple[str, ...] = ()
        if not node.path:
            paths = (slot,)
        elif node.kind is NodeKind.CLASS:
            paths = tuple(base for base in graph.lineage(slot) if not graph.nodes[base].path)[:1]
        elif node.kind is NodeKind.FUNCTION and hops:
            inner = wrapped(graph, node)
            paths = _reached(graph, inner, hops - 1) if inner is not None else ()
        if not paths:
            return ()
        found.update(dict.fromkeys(paths))
    return tuple(found)


def _made(graph: CodeGraph, callees: tuple[str, ...]) -> list[str]:
    """Leave out the `__init__` that comes with a class."""
    classes = [slot for slot in callees if graph.nodes[slot].kind is NodeKind.CLASS]
    return [slot for slot in callees if not (classes and slot.endswith(".__init__"))]


def _imports(syntax: SyntaxNode) -> bool:
    parent = syntax.parent
    return parent is not None and parent.type in ("dotted_name", "import_from_statement", "aliased_import")


def _within(graph: CodeGraph, node: Node) -> Iterator[Node]:
    return (graph.nodes[slot] for slot in graph.targets(node.slot, EdgeKind.CONTAINS))


def _spans(node: Node, syntax: SyntaxNode) -> bool:
    return (node.start, node.end) == (syntax.start_byte, syntax.end_byte) and bool(text_of(syntax))


def _seen(graph: CodeGraph, site: Node, name: str, target: str) -> bool:
    """Whether a name means an import at a site: bound by nothing else, and at the top of the file before code outside functions."""
    found = graph.bindings(name, site.scope)
    early = graph.nodes[site.scope].kind is NodeKind.FUNCTION or all(
        graph.nodes[b.slot].start < site.start for b in found
    )
    return early and bool(found) and all(b.target == target for b in found)


def _on_self(graph: CodeGraph, call: Node, name: str) -> bool:
    return read_call(graph, call).function == f"self.{name}"
