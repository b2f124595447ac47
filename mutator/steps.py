"""The anatomy of a training step: which loop takes it, what is sent backward, what updates the weights, and which statements measure.

Parts are known by what the graph resolved them to, never by their names. One exception: what is zeroed and stepped by one name in one
function is an optimizer, wherever it came from (a registry, `accelerator.prepare`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from graph.arguments import read_call
from graph.code_graph import CodeGraph
from graph.model import EdgeKind, Node, NodeKind
from graph.syntax import BindingKind, field_of, parts, text_of
from mutator.facts import calls_in, module_instances
from mutator.layout import whole_statement
from mutator.memory import remembered

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tree_sitter import Node as SyntaxNode

LOOPS = ("for", "while")
_SAVES = frozenset({"save", "save_model", "save_file", "save_checkpoint", "save_pretrained", "state_dict"})
_JUMPS = ("break", "continue", "return", "raise")
_HOPS = 4  # calls that are followed to find out what a function measures


@dataclass(frozen=True, slots=True)
class Step:
    """One training step, in one function or at the top of one module."""

    scope: str
    loops: tuple[Node, ...]  # around it in its function, the outermost first; none when the caller loops
    optimizer: str  # as it is written: `optimizer`, `self.optimizer`
    updates: tuple[Node, ...]  # the calls that step it, `scaler.step(optimizer)` too: one for each branch
    backward: tuple[Node, ...]  # the calls that compute its gradients
    zero_grads: tuple[Node, ...]
    clips: tuple[Node, ...]
    models: tuple[str, ...]  # what runs forward in it, as it is written

    @property
    def loop(self) -> Node | None:
        """The innermost loop that takes the step."""
        return self.loops[-1] if self.loops else None

    @property
    def model(self) -> str:
        """The one model that it trains; empty when there are several or none is plain to see."""
        return self.models[0] if len(self.models) == 1 else ""

    @property
    def weights(self) -> str:
        """An expression for the parameters that are trained."""
        whole = f'[p for group in {self.optimizer}.param_groups for p in group["params"]]'
        return f"{self.model}.parameters()" if self.model else whole


# --- the step ---------------------------------------------------------------------------------------------------------------------


def step_at(graph: CodeGraph, statement: Node) -> Step | None:
    """Return the step whose first update a statement is; None when it is no update, or a later one, such as a branch without a scaler."""
    if statement.label != "step" or statement.kind is not NodeKind.STATEMENT:
        return None
    inside = calls_of(graph, statement.scope, statement.path)
    own = next((call for call in inside if call.label == "step" and graph.parent(call) == statement), None)
    optimizer = stepped(graph, own, inside) if own is not None else ""
    if own is None or not optimizer:
        return None
    loop = loop_of(graph, statement)
    around = [call for call in inside if loop is None or within(graph, call, loop)]
    updates = tuple(
        call
        for call in around
        if call.label == "step" and loop_of(graph, call) == loop and stepped(graph, call, inside) == optimizer
    )
    if updates[0] != own:
        return None
    return Step(
        statement.scope,
        tuple(reversed([header for header in headers(graph, statement, None) if header.label in LOOPS])),
        optimizer,
        updates,
        tuple(c for c in around if c.label == "backward" and c.start < updates[-1].start),
        tuple(c for c in around if c.label == "zero_grad"),
        tuple(c for c in around if c.label.startswith("clip_grad") or plays(graph, c, "clip")),
        _models(graph, around) or _given(graph, optimizer, statement.scope),
    )


def steps_in(graph: CodeGraph, scope: str, path: str) -> Iterator[Step]:
    """Walk the training steps of a function or module."""
    for node in graph.files[path].nodes:
        if node.scope == scope and node.label == "step" and node.kind is NodeKind.STATEMENT:
            found = step_at(graph, node)
            if found is not None:
                yield found


def stepped(graph: CodeGraph, call: Node, inside: tuple[Node, ...]) -> str:
    """Return the optimizer that a call named `step` updates the weights with; empty for a scheduler, a closure or anything else."""
    taken = read_call(graph, call)
    receiver = taken.function.rpartition(".")[0]
    if plays(graph, call, "step"):
        scaled = any("GradScaler" in callee for callee in graph.callees(call))
        arguments = [argument.value for argument in taken.arguments]
        return (arguments[0] if scaled else receiver) if len(arguments) == scaled else ""
    if taken.arguments or plays(graph, call, "schedule") or not receiver:
        return ""
    zeroed = any(c.label == "zero_grad" and read_call(graph, c).function == f"{receiver}.zero_grad" for c in inside)
    return receiver if zeroed else ""


def _models(graph: CodeGraph, calls: list[Node]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(read_call(graph, call).function for call in calls if plays(graph, call, "forward")))


def _given(graph: CodeGraph, optimizer: str, scope: str) -> tuple[str, ...]:
    """Return the modules of a scope that the one expression names which makes its optimizer."""
    built = [b.value for b in graph.bindings(optimizer, scope) if b.value and b.scope == scope]
    named = [name for name in module_instances(graph, scope) if len(built) == 1 and re.search(rf"\b{name}\b", built[0])]
    return tuple(dict.fromkeys(named))


def scaler_of(graph: CodeGraph, update: Node) -> str:
    """Return the GradScaler that an update goes through; empty without one."""
    scaled = any("GradScaler" in callee for callee in graph.callees(update))
    return read_call(graph, update).function.rpartition(".")[0] if scaled else ""


def accumulates(graph: CodeGraph, step: Step) -> bool:
    """Whether several backward passes go into one update: micro-batches in a loop of their own, or an update every so many rounds."""
    nested = any(loop_of(graph, call) != step.loop for call in step.backward)
    return nested or any(
        header.label == "if" and ("%" in (text := graph.text(header)) or "accum" in text)
        for update in step.updates
        for header in headers(graph, update, step.loop)
    )


# --- where things stand -----------------------------------------------------------------------------------------------------------


def plays(graph: CodeGraph, call: Node, role: str) -> bool:
    """Whether a call has a role in the training step."""
    return f"role:{role}" in graph.targets(call.slot, EdgeKind.PLAYS)


@remembered
def calls_of(graph: CodeGraph, scope: str, path: str) -> tuple[Node, ...]:
    """Return the calls of a function or module that stand in no function inside it, in source order."""
    return tuple(n for n in graph.files[path].nodes if n.scope == scope and n.kind is NodeKind.CALL)


@remembered
def calls_within(graph: CodeGraph, scope: str, path: str) -> tuple[Node, ...]:
    """Return the calls of a function or module and of all functions inside it, in source order."""
    inner = scope if ":" in scope else f"{scope}:"
    return tuple(n for n in graph.files[path].nodes if n.kind is NodeKind.CALL and n.slot.startswith(inner))


def headers(graph: CodeGraph, node: Node, loop: Node | None) -> Iterator[Node]:
    """Walk the statements around a node, from the inside, up to a loop or out of its function; the loop is not one of them."""
    first = True
    for outer in (node, *graph.ancestors(node)):
        if outer == loop or outer.kind in (NodeKind.FUNCTION, NodeKind.MODULE, NodeKind.CLASS):
            return
        if outer.kind is NodeKind.STATEMENT:
            if not first:
                yield outer
            first = False


def loop_of(graph: CodeGraph, node: Node) -> Node | None:
    """Return the innermost loop around a node in its function."""
    return next((header for header in headers(graph, node, None) if header.label in LOOPS), None)


def within(graph: CodeGraph, node: Node, outer: Node) -> bool:
    """Whether a node stands in the block of a compound statement or in its header."""
    return outer in graph.ancestors(node)


def body_of(graph: CodeGraph, compound: Node) -> tuple[Node, ...]:
    """Return the statements that stand directly in the blocks of a compound statement; those of `else` too."""
    inside = (graph.nodes[slot] for slot in graph.targets(compound.slot, EdgeKind.CONTAINS))
    return tuple(n for n in inside if n.kind is NodeKind.STATEMENT)


def blocks_of(graph: CodeGraph, compound: Node) -> tuple[tuple[Node, ...], ...]:
    """Return the statements of a compound statement block by block: those of `if`, of each `elif`, of `else`."""
    found: dict[int, list[Node]] = {}
    for statement in body_of(graph, compound):
        block = whole_statement(graph, statement).parent
        found.setdefault(block.start_byte if block is not None else 0, []).append(statement)
    return tuple(tuple(block) for _, block in sorted(found.items()))


def below(graph: CodeGraph, statement: Node) -> Iterator[Node]:
    """Walk the calls of a statement and of all that stands in its blocks; functions that are defined there are left out."""
    pending = [statement]
    while pending:
        for slot in graph.targets(pending.pop().slot, EdgeKind.CONTAINS):
            node = graph.nodes[slot]
            if node.kind is NodeKind.CALL:
                yield node
            if node.kind not in (NodeKind.FUNCTION, NodeKind.CLASS, NodeKind.LAMBDA):
                pending.append(node)


def after(graph: CodeGraph, statement: Node) -> tuple[Node, ...]:
    """Return the statements that follow one, in its block and in the blocks around it, up to its function."""
    chain = [statement, *headers(graph, statement, None)]
    scope = graph.nodes[statement.scope]
    found: list[Node] = []
    for inner, outer in zip(chain, [*chain[1:], scope], strict=True):
        inside = (graph.nodes[slot] for slot in graph.targets(outer.slot, EdgeKind.CONTAINS))
        found += (n for n in inside if n.kind is NodeKind.STATEMENT and n.start > inner.start)
    return tuple(found)


def leaves(graph: CodeGraph, loop: Node) -> bool:
    """Whether a loop may be left over what follows it: by `return` or `raise`, or past an `else` of its own."""
    syntax = whole_statement(graph, loop)
    return any(child.type == "else_clause" for child in syntax.children) or any(
        n.label in ("return", "raise") and n.kind is NodeKind.STATEMENT and n.scope == loop.scope and within(graph, n, loop)
        for n in graph.files[loop.path].nodes
    )  # fmt: skip


def repeated(graph: CodeGraph, scope: str, hops: int = 2) -> bool:
    """Whether a function is called in a loop, as far as its callers can be seen: once an epoch, say."""
    for slot in graph.sources(scope, EdgeKind.CALLS):
        call = graph.nodes[slot]
        if loop_of(graph, call) is not None or (hops and repeated(graph, graph.runner(call).slot, hops - 1)):
            return True
    return False


def counter(graph: CodeGraph, step: Step, site: Node) -> str:
    """Return an expression that is 0 in the first round of the loop of a step and 1 more in each, as seen at a site; empty when none is.

    `for i in range(n)`, `for i, batch in enumerate(batches)`, or a name that is 1 more at the end of each round: `step += 1`.
    """
    if step.loop is None:
        return ""
    if step.loop.label == "for":
        return _index(
            field_of(whole_statement(graph, step.loop), "left"), field_of(whole_statement(graph, step.loop), "right")
        )
    for statement in body_of(graph, step.loop):
        text = graph.text(statement)
        name, plus, amount = (part.strip() for part in text.partition("+="))
        counts = plus and amount == "1" and statement.start > site.start and name.replace(".", "_").isidentifier()
        if counts and not any(_sets(graph, o, name) for o in _all_below(graph, step.loop) if o != statement):
            return name
    return ""


def _index(left: SyntaxNode, right: SyntaxNode) -> str:
    if right.type != "call":
        return ""
    function = text_of(field_of(right, "function"))
    inner = parts(field_of(right, "arguments"))
    names = parts(left) if left.type in ("pattern_list", "tuple_pattern") else [left]
    counts = (function == "range" and len(inner) == 1 and len(names) == 1) or (
        function == "enumerate" and len(inner) == 1 and len(names) == 2
    )
    return text_of(names[0]) if counts and names[0].type == "identifier" and text_of(names[0]) != "_" else ""


def _sets(graph: CodeGraph, statement: Node, name: str) -> bool:
    return graph.text(statement).partition("=")[0].rstrip("+-*/ ") == name


def _all_below(graph: CodeGraph, compound: Node) -> Iterator[Node]:
    for statement in body_of(graph, compound):
        yield statement
        yield from _all_below(graph, statement)


def updated_by(graph: CodeGraph, step: Step) -> Node:
    """Return the statement behind which the weights are updated, whichever branch steps the optimizer."""
    last = graph.statement(step.updates[-1]) or step.updates[-1]
    chain = [last, *headers(graph, last, step.loop)]
    return next(s for s in chain if all(s == graph.statement(u) or within(graph, u, s) for u in step.updates))


# --- what measures ----------------------------------------------------------------------------------------------------------------


def measures(graph: CodeGraph, statement: Node) -> bool:
    """Whether a statement, or what it calls, evaluates a model or saves its weights."""
    return any(call.label in _SAVES or _evaluates(graph, call, _HOPS) for call in below(graph, statement))


@remembered
def _evaluates(graph: CodeGraph, call: Node, hops: int) -> bool:
    if plays(graph, call, "evaluation"):
        return True
    ours = [graph.nodes[slot] for slot in graph.callees(call)] if hops else []
    return any(
        _evaluates(graph, inner, hops - 1)
        for function in ours
        if function.kind is NodeKind.FUNCTION
        for inner in calls_of(graph, function.slot, function.path)
    )


def measured_runs(graph: CodeGraph, step: Step) -> Iterator[tuple[Node, Node]]:
    """Walk the runs of statements beside a step, in all its loops, that evaluate the model or save it: (first, last) in one block.

    Of an `if`, what stands in it, up to a jump at its end: it costs nothing in the rounds that do not measure.
    """
    taken = {graph.statement(update) for update in step.updates}
    for loop in step.loops:
        for statement in body_of(graph, loop):
            steps = any(s is not None and (s == statement or within(graph, s, statement)) for s in taken)
            if not steps and measures(graph, statement):
                yield from _runs(graph, statement)


def _runs(graph: CodeGraph, statement: Node) -> Iterator[tuple[Node, Node]]:
    if statement.label != "if" or any(_evaluates(graph, call, _HOPS) for call in calls_in(graph, statement)):
        yield statement, statement
        return
    for block in blocks_of(graph, statement):
        if any(measures(graph, inner) for inner in block):
            yield block[0], block[-2] if len(block) > 1 and block[-1].label in _JUMPS else block[-1]


# --- names ------------------------------------------------------------------------------------------------------------------------


def unused(graph: CodeGraph, site: Node, *names: str) -> bool:
    """Whether nothing in the file of a site binds any of these names, so that an edit may."""
    return not any(name in scope.bindings for scope in graph.files[site.path].scopes.values() for name in names)


def bound_before(graph: CodeGraph, name: str, site: Node) -> bool:
    """Whether a name has its final value when a site runs: bound above it and nowhere inside or behind it in its own scope."""
    found = [b for b in graph.bindings(name, site.scope) if b.kind is not BindingKind.FUNCTION]
    own = [graph.nodes[slot] for b in found if b.scope == site.scope for slot in graph.sources(b.slot, EdgeKind.WRITES)]
    writers = [n for n in own if n.scope == site.scope]
    inside = any(within(graph, writer, site) for writer in writers)
    return bool(found) and not inside and (not writers or min(w.start for w in writers) < site.start)
