"""The renderer: intents, planned on one graph, lowered to one patch. The only place that knows bytes, lines and indentation."""

from __future__ import annotations

from functools import singledispatch
from itertools import groupby, takewhile
from typing import TYPE_CHECKING

from graph.arguments import read_call
from graph.syntax import parts, text_of
from mutator.expected import keeps_surroundings
from mutator.intents import AddParam, DropArgs, EnsureImport, InsertStmt, Intent, RenameCallee, ReplaceExpr, SetArg
from mutator.kind import Reason, Refused
from mutator.patch import Patch, Replacement, make_patch

if TYPE_CHECKING:
    from collections.abc import Iterable

    from graph.code_graph import CodeGraph
    from graph.model import Node
    from graph.syntax import FileSyntax

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
    path = intent.site.path
    file = graph.files[path]
    statement = (
        f"import {intent.module} as {intent.alias}" if intent.alias != intent.module else f"import {intent.module}"
    )
    name = intent.alias.partition(".")[0]
    wanted = intent.module if intent.alias != intent.module else name
    known = graph.bindings(name, intent.site.scope)
    position = _import_position(file)
    if any(b.target != wanted or b.scope != file.module or graph.nodes[b.slot].start >= position for b in known):
        raise Refused(
            Reason.NAME_CLASH,
            f"{path}: {name} means something else at {intent.site.slot}; `{statement}` would not reach it",
        )
    if known:
        return []
    newline = b"\r\n" if b"\r\n" in file.data else b"\n"
    before = b"" if file.data[:position].endswith((b"\n", b"\xef\xbb\xbf")) or not position else newline
    return [(path, Replacement(position, b"", before + statement.encode() + newline))]


@_lower.register(AddParam)
def _add_param(intent: AddParam, graph: CodeGraph) -> Iterable[Placed]:
    """Put the parameter after the last one that may also be given by position, before `/`, `*`, `*args` and `**kwargs`."""
    syntax = graph.syntax(intent.function)
    inside = syntax.child_by_field_name("parameters")
    plain = ("identifier", "typed_parameter", "default_parameter", "typed_default_parameter")
    found = parts(inside) if inside is not None else []
    before = list(takewhile(lambda p: p.type in plain and not text_of(p).startswith("*"), found))
    separator = next((p for p in found if p.type == "positional_separator"), None)
    text = f"{intent.name}={intent.default}"
    if separator is not None:  # after `/`, or the name could not be given by keyword
        return [(intent.function.path, Replacement(separator.end_byte, b"", f", {text}".encode()))]
    if before:
        return [(intent.function.path, Replacement(before[-1].end_byte, b"", f", {text}".encode()))]
    if inside is None:  # a function has parentheses
        raise ValueError(intent.function.slot)
    return [(intent.function.path, Replacement(inside.start_byte + 1, b"", (text + (", " if found else "")).encode()))]


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


@_lower.register(DropArgs)
def _drop_args(intent: DropArgs, graph: CodeGraph) -> Iterable[Placed]:
    """Cut from the end of the argument before a run of dropped ones to the end of the run; a run at the start takes what follows."""
    call, data = read_call(graph, intent.call), graph.snapshot.files[intent.call.path]
    start, cuts = call.open, []
    for dropped, run in groupby(call.arguments, lambda a: a.name in intent.names):
        arguments = list(run)
        if dropped:
            cuts.append((start, arguments[-1].end))
        start = arguments[-1].end
    if cuts and cuts[0][0] == call.open:
        following = [a for a in call.arguments if a.start >= cuts[0][1]]
        cuts[0] = (call.arguments[0].start, following[0].start if following else cuts[0][1])
    return [(intent.call.path, Replacement(first, data[first:last], b"")) for first, last in cuts]


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


def _import_position(file: FileSyntax) -> int:
    """Return where a new import goes: after the imports at the top of a file, else after its docstring."""
    data = file.data
    position = 3 if data.startswith(b"\xef\xbb\xbf") else 0
    for index, child in enumerate(parts(file.tree.root_node)):
        is_import = child.type in ("import_statement", "import_from_statement", "future_import_statement")
        is_docstring = index == 0 and child.type == "expression_statement" and child.named_children[0].type == "string"
        if not is_import and not is_docstring:
            break
        rest = data.find(b"\n", child.end_byte)
        position = len(data) if rest < 0 else rest + 1
    return position
