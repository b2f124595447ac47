"""Where the sources state a value: the statement that binds a name, the argument that a call gives, the settings that a script runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graph.code_graph import CodeGraph
from graph.model import EdgeKind, Node, NodeKind
from graph.syntax import BindingKind, dotted, field_of, parts, text_of
from mutator.memory import remembered

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tree_sitter import Node as SyntaxNode


class Unknown(Exception):
    """The value of an expression cannot be followed."""


def assigned(graph: CodeGraph, slot: str) -> tuple[Node, SyntaxNode] | None:
    """Return the one statement that writes a variable or attribute, and the expression that it binds to it."""
    writers = graph.sources(slot, EdgeKind.WRITES)
    statement = graph.nodes[writers[0]] if len(writers) == 1 else None
    syntax = graph.syntax(statement) if statement is not None and statement.kind is NodeKind.STATEMENT else None
    while syntax is not None and syntax.type == "expression_statement":
        syntax = parts(syntax)[0]
    if statement is None or syntax is None or syntax.type != "assignment":
        return None
    left, right = field_of(syntax, "left"), syntax.child_by_field_name("right")
    label = graph.nodes[slot].label
    if (
        right is not None
        and left.type in ("pattern_list", "tuple_pattern")
        and right.type in ("expression_list", "tuple")
    ):
        pairs = zip(parts(left), parts(right), strict=False) if len(parts(left)) == len(parts(right)) else ()
        right = next((value for name, value in pairs if dotted(name).rpartition(".")[2] == label), None)
    elif dotted(left).rpartition(".")[2] != label:
        return None
    while right is not None and right.type == "assignment":
        right = right.child_by_field_name("right")
    return (statement, right) if right is not None else None


def callers(graph: CodeGraph, unit: Node) -> tuple[str, ...]:
    """Return the call sites of a function, or those that make an instance of a class: not those in tests."""
    owner = unit.scope if unit.label == "__init__" else unit.slot
    found = (*graph.sources(owner, EdgeKind.INSTANTIATES), *graph.sources(unit.slot, EdgeKind.CALLS))
    sites = (slot for slot in dict.fromkeys(found) if graph.nodes[slot].kind is NodeKind.CALL)
    return tuple(
        slot for slot in sites if not graph.nodes[slot].module.rpartition(".")[2].startswith(("test_", "conftest"))
    )


def call_at(graph: CodeGraph, path: str, syntax: SyntaxNode) -> Node | None:
    """Return the call node that stands on a syntax node."""
    return _calls(graph).get((path, syntax.start_byte, syntax.end_byte))


def settings_files(graph: CodeGraph, path: str) -> tuple[str, ...]:
    """Return the files of settings that a script may run over its own, as nanoGPT's `exec(open(config_file).read())` does."""
    return _settings(graph).get(path, ())


def given_argument(graph: CodeGraph, call: Node, function: Node, name: str) -> SyntaxNode | None:
    """Return what a call gives for a parameter of a function of ours."""
    names = [
        graph.nodes[s].label
        for s in graph.targets(function.slot, EdgeKind.DEFINES)
        if graph.nodes[s].kind is NodeKind.PARAMETER
    ]
    plain = dotted(field_of(graph.syntax(call), "function"))
    bound = names[:1] in (["self"], ["cls"]) and not plain.startswith(f"{graph.nodes[function.scope].label}.__init__")
    return _passed(call, graph, names[1:] if bound else names, name)


def given_field(graph: CodeGraph, call: Node, owner: str, name: str) -> SyntaxNode | None:
    """Return what a constructor call gives for a field of a dataclass."""
    inside = (graph.nodes[slot] for slot in graph.targets(owner, EdgeKind.DEFINES))
    return _passed(call, graph, [n.label for n in inside if n.kind is NodeKind.ATTRIBUTE], name)


def _passed(call: Node, graph: CodeGraph, names: list[str], name: str) -> SyntaxNode | None:
    given = parts(field_of(graph.syntax(call), "arguments"))
    found = keyword(graph.syntax(call), name)
    if found is not None:
        return found
    place = names.index(name) if name in names else len(given)
    positional = [a for a in given if a.type not in ("keyword_argument", "dictionary_splat")]
    if any(a.type == "list_splat" for a in positional):
        raise Unknown
    if place < len(positional):
        return positional[place]
    return next((a for a in given if a.type == "dictionary_splat"), None)


def keyword(call: SyntaxNode, name: str) -> SyntaxNode | None:
    """Return what a call gives for a keyword."""
    arguments = call.child_by_field_name("arguments")
    named = (a for a in parts(arguments) if a.type == "keyword_argument") if arguments is not None else iter(())
    return next((field_of(a, "value") for a in named if text_of(field_of(a, "name")) == name), None)


def default_of(graph: CodeGraph, parameter: Node) -> SyntaxNode | None:
    """Return the default of a parameter."""
    found = graph.files[parameter.path].tree.root_node.descendant_for_byte_range(parameter.start, parameter.end)
    return found.child_by_field_name("value") if found is not None else None


def entry_of(graph: CodeGraph, splat: SyntaxNode, key: str, call: Node) -> tuple[SyntaxNode, Node]:
    """Return what `**options` holds under a key, where `options = dict(...)` or `{...}`, or is one written there.

    Raises: KeyError: it has no such key. Unknown: it was made in another way, or the key is set later.
    """
    statement: Node = call
    if splat.type == "identifier":
        name, bound = text_of(splat), graph.bindings(text_of(splat), call.scope)
        found = assigned(graph, bound[0].slot) if len(bound) == 1 and bound[0].kind is BindingKind.VALUE else None
        if found is None:
            raise Unknown
        statement, splat = found
        if f'{name}["{key}"] =' in (text := graph.snapshot.files[call.path].decode()) or f"{name}['{key}'] =" in text:
            raise Unknown
    for pair in parts(field_of(splat, "arguments")) if splat.type == "call" else parts(splat):
        name_field = pair.child_by_field_name("name") or pair.child_by_field_name("key")
        value = pair.child_by_field_name("value")
        if name_field is not None and value is not None and text_of(name_field).strip("\"'") == key:
            return value, statement
    if splat.type not in ("call", "dictionary") or (
        splat.type == "call" and dotted(field_of(splat, "function")) != "dict"
    ):
        raise Unknown
    raise KeyError(key)


def is_dataclass(graph: CodeGraph, owner: str) -> bool:
    """Whether a class is a dataclass."""
    return "dataclasses.dataclass" in graph.sources(owner, EdgeKind.DECORATES)


# --- kept for each graph -----------------------------------------------------------------------------------------------------------------


@remembered
def _calls(graph: CodeGraph) -> Mapping[tuple[str, int, int], Node]:
    return {(n.path, n.start, n.end): n for n in graph.nodes.values() if n.kind is NodeKind.CALL}


@remembered
def _settings(graph: CodeGraph) -> Mapping[str, tuple[str, ...]]:
    running = [path for path, file in graph.files.items() if b"exec(" in file.data and file.module in file.scopes]
    plain = [path for path, file in graph.files.items() if running and _only_settings(file.tree.root_node)]
    found = {}
    for path in running:
        names = set(graph.files[path].scopes[graph.files[path].module].bindings)
        scopes = {
            other: graph.files[other].scopes[graph.files[other].module].bindings for other in plain if other != path
        }
        found[path] = tuple(other for other, bound in scopes.items() if len(names & set(bound)) > 2)
    return found


def _only_settings(root: SyntaxNode) -> bool:
    """Whether a file assigns numbers and texts to names and does nothing else."""
    return bool(parts(root)) and all(_is_setting(statement) for statement in parts(root))


def _is_setting(statement: SyntaxNode) -> bool:
    inner = parts(statement)[:1]
    if statement.type != "expression_statement" or not inner or inner[0].type not in ("assignment", "string"):
        return statement.type in ("import_statement", "import_from_statement")
    return inner[0].type == "string" or field_of(inner[0], "left").type == "identifier"
