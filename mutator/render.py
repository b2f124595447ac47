"""The renderer: intents, planned on one graph, lowered to one patch. With `mutator.layout` the only place that knows bytes and lines."""

from __future__ import annotations

from functools import singledispatch
from itertools import groupby, takewhile
from typing import TYPE_CHECKING

from graph.arguments import read_call
from graph.model import EdgeKind, NodeKind
from graph.syntax import parts, text_of
from mutator.chunks import touched
from mutator.expected import keeps_surroundings
from mutator.intents import (
    AddField,
    AddParam,
    DeleteStmt,
    DropArgs,
    EnsureImport,
    InsertStmt,
    Intent,
    Promise,
    RenameCallee,
    ReplaceExpr,
    ReplaceStmt,
    RewriteUnit,
    SetArg,
    WrapStmts,
)  # fmt: skip
from mutator.kind import Reason, Refused
from mutator.layout import (
    BOM,
    import_position,
    indent_of,
    indent_unit,
    laid_out,
    line_start,
    lines_of,
    newline_of,
    whole_statement,
)  # fmt: skip
from mutator.patch import Patch, Replacement, make_patch
from mutator.rewrite import rewritten

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tree_sitter import Node as SyntaxNode

    from graph.code_graph import CodeGraph

Placed = tuple[str, Replacement]


def render(graph: CodeGraph, intents: Iterable[Intent]) -> Patch:
    """Lower the intents of one edit to one patch on the graph's snapshot. What they insert at one place stays in their order.

    Raises: Refused: a statement shares its line, or a name means something else. EditError: two intents touch the same bytes.
    """
    ordered = sorted(dict.fromkeys(intents), key=lambda i: i.order if isinstance(i, InsertStmt) else 0)
    placed: list[Placed] = []
    at: dict[tuple[str, int], int] = {}  # where something is inserted -> its place in the list
    imports = dict.fromkeys(
        p for i in ordered if isinstance(i, EnsureImport) for p in _lower(i, graph)
    )  # once for all sites
    others = (p for i in ordered if not isinstance(i, EnsureImport) for p in _lower(i, graph))
    for path, replacement in (*imports, *others):
        known = at.get((path, replacement.start)) if not replacement.expect else None
        if known is not None:
            placed[known] = path, Replacement(replacement.start, b"", placed[known][1].new + replacement.new)
        else:
            if not replacement.expect:
                at[path, replacement.start] = len(placed)
            placed.append((path, replacement))
    return make_patch(placed)


@singledispatch
def _lower(intent: Intent, graph: CodeGraph) -> Iterable[Placed]:
    raise NotImplementedError(type(intent).__name__)


@_lower.register(ReplaceExpr)
def _replace_expr(intent: ReplaceExpr, graph: CodeGraph) -> Iterable[Placed]:
    node, data = intent.node, graph.snapshot.files[intent.node.path]
    bare = Replacement(node.start, data[node.start : node.end], intent.text.encode())
    wrapped = Replacement(node.start, bare.expect, b"(" + bare.new + b")")
    stays = all(keeps_surroundings(c.old, c.replacements) for c in touched(graph.files[node.path], (bare,)))
    return [(node.path, bare if stays else wrapped)]


@_lower.register(RenameCallee)
def _rename_callee(intent: RenameCallee, graph: CodeGraph) -> Iterable[Placed]:
    call = read_call(graph, intent.call)
    old, new = call.function.encode(), intent.function.encode()
    return [(intent.call.path, Replacement(call.function_end - len(old), old, new))]


# --- statements -------------------------------------------------------------------------------------------------------------------


@_lower.register(InsertStmt)
def _insert_stmt(intent: InsertStmt, graph: CodeGraph) -> Iterable[Placed]:
    anchor, data = intent.anchor, graph.snapshot.files[intent.anchor.path]
    whole, newline = whole_statement(graph, anchor), newline_of(data)
    indent = indent_of(graph, whole, anchor)
    lines = laid_out(intent.text, graph.files[anchor.path], indent)
    start = line_start(data, whole.start_byte)
    if intent.before:
        position = start + (len(BOM) if not start and data.startswith(BOM) else 0)
        return [(anchor.path, Replacement(position, b"", "".join(line + newline for line in lines).encode()))]
    start, end = lines_of(graph, whole, anchor)
    if not data[start:end].endswith(b"\n"):  # the file does not end with a newline, and it shall not after the edit
        return [(anchor.path, Replacement(end, b"", "".join(newline + line for line in lines).encode()))]
    return [(anchor.path, Replacement(end, b"", "".join(line + newline for line in lines).encode()))]


@_lower.register(ReplaceStmt)
def _replace_stmt(intent: ReplaceStmt, graph: CodeGraph) -> Iterable[Placed]:
    node, data = intent.node, graph.snapshot.files[intent.node.path]
    whole = whole_statement(graph, node)
    old = data[whole.start_byte : whole.end_byte]
    if "\n" not in intent.text:
        return [(node.path, Replacement(whole.start_byte, old, intent.text.encode()))]
    indent = indent_of(graph, whole, node)
    lines_of(graph, whole, node)  # or it shares its line
    text = newline_of(data).join(laid_out(intent.text, graph.files[node.path], indent)).removeprefix(indent)
    return [(node.path, Replacement(whole.start_byte, old, text.encode()))]


@_lower.register(DeleteStmt)
def _delete_stmt(intent: DeleteStmt, graph: CodeGraph) -> Iterable[Placed]:
    node, data = intent.node, graph.snapshot.files[intent.node.path]
    whole = whole_statement(graph, node)
    start, end = lines_of(graph, whole, node)
    block = whole.parent
    if (
        block is not None
        and block.type == "block"
        and len([c for c in block.named_children if c.type != "comment"]) == 1
    ):
        return [(node.path, Replacement(whole.start_byte, data[whole.start_byte : whole.end_byte], b"pass"))]
    return [(node.path, Replacement(start, data[start:end], b""))]


@_lower.register(WrapStmts)
def _wrap_stmts(intent: WrapStmts, graph: CodeGraph) -> Iterable[Placed]:
    """Indent the lines from the first to the last statement, but not those that start inside of a string."""
    path, data = intent.first.path, graph.snapshot.files[intent.first.path]
    first, last = whole_statement(graph, intent.first), whole_statement(graph, intent.last)
    if first.parent != last.parent or last.start_byte < first.start_byte:
        raise ValueError(f"{intent.first.slot} and {intent.last.slot}: are not in order in one block")
    indent = indent_of(graph, first, intent.first)
    lines_of(graph, first, intent.first)
    start, (_, end) = line_start(data, first.start_byte), lines_of(graph, last, intent.last)
    fixed = {line for s in _strings(first.parent or first) for line in range(s[0] + 1, s[1] + 1)}
    number = data.count(b"\n", 0, start)
    unit, new = indent_unit(graph.files[path]).encode(), [(indent + intent.header + newline_of(data)).encode()]
    for line in data[start:end].splitlines(keepends=True):
        new.append(line if number in fixed or not line.strip() else unit + line)
        number += 1
    return [(path, Replacement(start, data[start:end], b"".join(new)))]


def _strings(syntax: SyntaxNode) -> Iterator[tuple[int, int]]:
    """Walk (first row, last row) of the strings in a syntax node that span lines."""
    pending = [syntax]
    while pending:
        node = pending.pop()
        if node.start_point[0] == node.end_point[0]:
            continue
        if node.type == "string":
            yield node.start_point[0], node.end_point[0]
        else:
            pending += node.children


@_lower.register(RewriteUnit)
def _rewrite_unit(intent: RewriteUnit, graph: CodeGraph) -> Iterable[Placed]:
    whole = whole_statement(graph, intent.unit)
    data = graph.snapshot.files[intent.unit.path]
    start = line_start(data, whole.start_byte)
    return [(intent.unit.path, r) for r in rewritten(data, start, whole.end_byte, intent.transformer())]


@_lower.register(Promise)
def _promise(intent: Promise, graph: CodeGraph) -> Iterable[Placed]:
    return []


# --- names, parameters, arguments -------------------------------------------------------------------------------------------------


@_lower.register(EnsureImport)
def _ensure_import(intent: EnsureImport, graph: CodeGraph) -> Iterable[Placed]:
    path, file = intent.site.path, graph.files[intent.site.path]
    name = intent.alias.partition(".")[0]
    wanted = (
        f"{intent.module}.{intent.name}" if intent.name else intent.module if intent.alias != intent.module else name
    )
    at_run_time = graph.runner(intent.site).kind is not NodeKind.MODULE
    position = import_position(file, intent.module)
    reached = len(file.data) if at_run_time else intent.site.start
    known = graph.bindings(name, intent.site.scope)
    if any(b.target != wanted or b.scope != file.module or graph.nodes[b.slot].start >= reached for b in known) or (
        not known and position > reached
    ):
        raise Refused(
            Reason.NAME_CLASH,
            f"{path}: {name} means something else at {intent.site.slot}; `{_import(intent)}` would not reach it",
        )
    if known:
        return []
    newline = newline_of(file.data).encode()
    before = b"" if not position or file.data[:position].endswith((b"\n", BOM)) else newline
    return [(path, Replacement(position, b"", before + _import(intent).encode() + newline))]


def _import(intent: EnsureImport) -> str:
    if intent.name:
        return f"from {intent.module} import {intent.name}" + (
            f" as {intent.alias}" if intent.alias != intent.name else ""
        )
    return f"import {intent.module}" + (f" as {intent.alias}" if intent.alias != intent.module else "")


@_lower.register(AddField)
def _add_field(intent: AddField, graph: CodeGraph) -> Iterable[Placed]:
    inside = [graph.nodes[slot] for slot in graph.targets(intent.owner.slot, EdgeKind.CONTAINS)]
    statements = [n for n in inside if n.kind is NodeKind.STATEMENT]
    fields = [n for n in statements if graph.targets(n.slot, EdgeKind.WRITES)] or statements
    if not fields:
        raise Refused(Reason.SHARED_LINE, f"{intent.owner.slot}: has no field; give it one on a line of its own")
    return _lower(InsertStmt(fields[-1], f"{intent.name}: {intent.annotation} = {intent.default}"), graph)


@_lower.register(AddParam)
def _add_param(intent: AddParam, graph: CodeGraph) -> Iterable[Placed]:
    """Put the parameter after the last one that may also be given by position, before `*`, `*args` and `**kwargs`."""
    syntax = graph.syntax(intent.function)
    inside = syntax.child_by_field_name("parameters")
    plain = ("identifier", "typed_parameter", "default_parameter", "typed_default_parameter", "positional_separator")
    found = parts(inside) if inside is not None else []
    before = list(takewhile(lambda p: p.type in plain and not text_of(p).startswith("*"), found))
    text = f"{intent.name}={intent.default}"
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
