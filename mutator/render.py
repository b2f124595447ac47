"""The renderer: intents, planned on one graph, lowered to one patch. The only place that knows bytes, lines and indentation."""

from __future__ import annotations

from functools import singledispatch
from typing import TYPE_CHECKING

from graph.arguments import Argument, Call, read_call
from graph.model import EdgeKind, NodeKind
from mutator.expected import keeps_surroundings
from mutator.intents import AddParam, DropArg, EnsureImport, InsertStmt, Intent, RenameCallee, ReplaceExpr, SetArg
from mutator.kind import Reason, Refused
from mutator.patch import Patch, Replacement, make_patch

if TYPE_CHECKING:
    from collections.abc import Iterable

    from graph.code_graph import CodeGraph
    from graph.model import Node

Placed = tuple[str, Replacement]


def render(graph: CodeGraph, intents: Iterable[Intent]) -> Patch:
    """Lower intents to one patch on the graph's snapshot.

    Raises: Refused: a statement shares its line, or an import's name means something else. EditError: two intents touch the same bytes.
    """
    return make_patch(placed for intent in dict.fromkeys(intents) for placed in _lower(intent, graph))


@singledispatch
def _lower(intent: Intent, graph: CodeGraph) -> Iterable[Placed]:
    raise NotImplementedError(type(intent).__name__)


@_lower.register(ReplaceExpr)
def _replace_expr(intent: ReplaceExpr, graph: CodeGraph) -> Iterable[Placed]:
    node, data = intent.node, graph.snapshot.files[intent.node.path]
    bare = Replacement(node.start, data[node.start : node.end], intent.text.encode())
    wrapped = Replacement(node.start, bare.expect, b"(" + bare.new + b")")
    return [(node.path, bare if keeps_surroundings(data, (bare,)) else wrapped)]


@_lower.register(RenameCallee)
def _rename_callee(intent: RenameCallee, graph: CodeGraph) -> Iterable[Placed]:
    call = read_call(graph, intent.call)
    return [
        (
            intent.call.path,
            Replacement(
                call.function_end - len(call.function.encode()), call.function.encode(), intent.function.encode()
            ),
        )
    ]


@_lower.register(InsertStmt)
def _insert_stmt(intent: InsertStmt, graph: CodeGraph) -> Iterable[Placed]:
    data = graph.snapshot.files[intent.anchor.path]
    newline = "\r\n" if b"\r\n" in data else "\n"
    start, end = _lines_of(graph, intent.anchor)
    indent = data[start : intent.anchor.start].decode()
    if indent.strip():
        raise Refused(
            Reason.SHARED_LINE,
            f"{intent.anchor.slot}: shares its line with another statement; give it a line of its own",
        )
    text = "".join(f"{indent}{line}{newline}" for line in intent.text.split("\n"))
    if intent.before:
        return [(intent.anchor.path, Replacement(start, b"", text.encode()))]
    if not data[start:end].endswith(b"\n"):  # the file does not end with a newline, and it shall not after the edit
        return [(intent.anchor.path, Replacement(end, b"", (newline + text.removesuffix(newline)).encode()))]
    return [(intent.anchor.path, Replacement(end, b"", text.encode()))]


@_lower.register(EnsureImport)
def _ensure_import(intent: EnsureImport, graph: CodeGraph) -> Iterable[Placed]:
    file = graph.files[intent.path]
    statement = (
        f"import {intent.module} as {intent.alias}" if intent.alias != intent.module else f"import {intent.module}"
    )
    name = intent.alias.partition(".")[0]
    known = file.scopes[file.module].bindings.get(name, ())
    if known:
        wanted = intent.module if intent.alias != intent.module else name
        if all(binding.target == wanted for binding in known):
            return []
        raise Refused(
            Reason.NAME_CLASH, f"{intent.path}: {name} means something else there; `{statement}` would hide it"
        )
    data = file.data
    position = _import_position(graph, intent.path)
    return [(intent.path, Replacement(position, b"", statement.encode() + (b"\r\n" if b"\r\n" in data else b"\n")))]


@_lower.register(AddParam)
def _add_param(intent: AddParam, graph: CodeGraph) -> Iterable[Placed]:
    data = graph.snapshot.files[intent.function.path]
    parameters = [
        node
        for slot in graph.targets(intent.function.slot, EdgeKind.DEFINES)
        if (node := graph.nodes[slot]).kind is NodeKind.PARAMETER and not graph.text(node).startswith("**")
    ]
    text = f"{intent.name}={intent.default}"
    if parameters:
        return [(intent.function.path, Replacement(parameters[-1].end, b"", f", {text}".encode()))]
    return [(intent.function.path, Replacement(data.index(b"(", intent.function.start) + 1, b"", text.encode()))]


@_lower.register(SetArg)
def _set_arg(intent: SetArg, graph: CodeGraph) -> Iterable[Placed]:
    call = read_call(graph, intent.call)
    known = call.keyword(intent.name)
    if known is not None:
        return [(intent.call.path, Replacement(known.value_start, known.value.encode(), intent.text.encode()))]
    text = f"{intent.name}={intent.text}"
    if call.arguments:
        return [(intent.call.path, Replacement(call.arguments[-1].end, b"", f", {text}".encode()))]
    return [(intent.call.path, Replacement(call.open, b"", text.encode()))]


@_lower.register(DropArg)
def _drop_arg(intent: DropArg, graph: CodeGraph) -> Iterable[Placed]:
    call = read_call(graph, intent.call)
    dropped = call.keyword(intent.name)
    if dropped is None:
        return []
    start, end = _span_with_comma(call, dropped)
    return [(intent.call.path, Replacement(start, graph.snapshot.files[intent.call.path][start:end], b""))]


def _span_with_comma(call: Call, argument: Argument) -> tuple[int, int]:
    place = call.arguments.index(argument)
    if place:
        return call.arguments[place - 1].end, argument.end
    return argument.start, call.arguments[1].start if len(call.arguments) > 1 else argument.end


def _lines_of(graph: CodeGraph, statement: Node) -> tuple[int, int]:
    """Return where the lines of a statement start and end: with its block, its trailing comment and the line break."""
    data = graph.snapshot.files[statement.path]
    whole = graph.files[statement.path].tree.root_node.descendant_for_byte_range(statement.start, statement.end)
    while (
        whole is not None
        and whole.parent is not None
        and whole.parent.start_byte == statement.start
        and whole.parent.type not in ("block", "module")
    ):
        whole = whole.parent
    end = whole.end_byte if whole is not None else statement.end
    rest = data.find(b"\n", end)
    line_end = len(data) if rest < 0 else rest + 1
    between = data[end:line_end].strip()
    if between and not between.startswith(b"#"):
        raise Refused(
            Reason.SHARED_LINE, f"{statement.slot}: shares its line with another statement; give it a line of its own"
        )
    return data.rfind(b"\n", 0, statement.start) + 1, line_end


def _import_position(graph: CodeGraph, path: str) -> int:
    """Return where a new import goes: after the imports at the top of a file, else after its docstring."""
    position, data = 0, graph.files[path].data
    for child in graph.files[path].tree.root_node.named_children:
        is_import = child.type in ("import_statement", "import_from_statement", "future_import_statement")
        is_docstring = (
            position == 0 and child.type == "expression_statement" and child.named_children[0].type == "string"
        )
        if is_import or is_docstring:
            rest = data.find(b"\n", child.end_byte)
            position = len(data) if rest < 0 else rest + 1
        elif child.type != "comment":
            break
    return position
