"""Activations: what the `forward` of a torch module computes, which of it is a residual branch, a normalisation, attention, logits.

Shapes are not computed. What an edit does with a tensor must fit because of where it stands: a branch that is added to a stream has the
stream's shape, what attention takes as queries and keys ends in the size of a head.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from graph.arguments import read_call
from graph.model import EdgeKind, Node, NodeKind
from graph.syntax import field_of, parts, text_of
from mutator.callees import reached, spell, wrapped
from mutator.facts import FUNCTIONAL, NONLINEARITIES, assignment_of, calls_in, forward_of_module, is_torch_module
from mutator.intents import EnsureImport, Span

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tree_sitter import Node as SyntaxNode

    from graph.code_graph import CodeGraph

NORMS = {"rms": "rms_norm", "layer": "layer_norm"}
NO_VALUE = frozenset(
    {"if", "for", "while", "with", "expression", "assert", "raise", "delete", "pass", "import", "unpack"}
)
_WEIGHTED = re.compile(r"torch\.nn\.(Linear|Bilinear|Embedding|Conv|Sequential|Multihead|LSTM|GRU|RNN)")
_NONLINEAR = (NONLINEARITIES - {"tanh", "sigmoid"}) | {"leakyrelu", "square"}
_STATE = re.compile(r"cache|past|state|hidden|(input|start|cur)_?pos|offset|mem")
_BATCH_FIRST = (  # what shows that the second dimension of IDS is the position
    r"\b[bB]\w*\s*,\s*[tTsSlLnN]\w*\s*=\s*IDS\.(size\(\)|shape)|arange\([^()]*\bIDS\.(shape\[(1|-1)\]|size\((1|-1)\))"
)
_ROTARY = re.compile(r"(^|_)(rope|rotary|rotate)|apply_rot", re.IGNORECASE)
_QK_NORMED = re.compile(r"\b([qk]_?(layer_?)?norm|norm_?[qk]|(ln|norm)_?qk|qk_?norm|(query|key)_norm)\b", re.IGNORECASE)
_ATTENTION = frozenset(
    {"scaled_dot_product_attention", "flash_attn_func", "flex_attention", "memory_efficient_attention"}
)
_TRANSPOSED = re.compile(r"(\w+)\.(transpose\((-2, -1|-1, -2|2, 3|3, 2)\)|mT)")


class Branch(NamedTuple):
    """A residual sublayer: `stream = stream + branch`, where the branch calls a layer on the stream, normalised or as it is."""

    stream: str
    place: Span  # of the branch
    call: Node  # of the sublayer
    norm: Node | None  # the call that normalises the stream for it


class Attention(NamedTuple):
    """Where queries meet keys: their names, and the statement that all of it stands in."""

    q: str
    k: str
    statement: Node
    external: bool  # a kernel that is not torch's, which wants all of its inputs in one type


def assigned(graph: CodeGraph, statement: Node) -> SyntaxNode | None:
    """Return the expression that a statement gives to one plain name, its label; None when it is no such statement."""
    if statement.label in NO_VALUE or not graph.text(statement).startswith(statement.label):
        return None
    found = assignment_of(graph, statement)
    if found is None or found.type != "assignment" or field_of(found, "left").type != "identifier":
        return None
    return found.child_by_field_name("right")


def returned(graph: CodeGraph, statement: Node) -> SyntaxNode | None:
    """Return the expression that a `return` gives back."""
    values = parts(graph.syntax(statement)) if statement.label == "return" else []
    return values[0] if values else None


def call_at(graph: CodeGraph, statement: Node, syntax: SyntaxNode | None) -> Node | None:
    """Return the call of a statement that an expression is."""
    if syntax is None or syntax.type != "call":
        return None
    return next(
        (c for c in calls_in(graph, statement) if (c.start, c.end) == (syntax.start_byte, syntax.end_byte)), None
    )


def branch_of(graph: CodeGraph, statement: Node) -> Branch | None:
    """Return the residual sublayer that a statement of `forward` is; None when it is another statement, or adds several."""
    if statement.label in NO_VALUE or statement.label == "return" or not forward_of_module(graph, statement):
        return None
    added = _added(graph, statement)
    if added is None:
        return None
    calls = [c for c in calls_in(graph, statement) if added.start_byte <= c.start and c.end <= added.end_byte]
    call = next((c for c in calls if is_sublayer(graph, c)), None)
    if call is None:
        return None
    place = Span(statement.path, added.start_byte, added.end_byte)
    norms = [c for c in calls if call.start < c.start and c.end <= call.end and is_norm(graph, c)]
    plain = [c for c in norms if text_of(_inside(graph, c)) == f"({statement.label})"]
    return Branch(statement.label, place, call, plain[0] if len(plain) == 1 == len(norms) else None)


def is_sublayer(graph: CodeGraph, call: Node) -> bool:
    """Whether a call runs a module with weights that is no normalisation."""
    callees = graph.callees(call)
    return bool(callees) and not is_norm(graph, call) and all(_has_weights(graph, slot) for slot in callees)


def is_norm(graph: CodeGraph, call: Node) -> bool:
    """Whether a call normalises what it is given."""
    if call.label in ("norm", "vector_norm") and read_call(graph, call).function.partition(".")[0] not in (
        "self",
        "norm",
    ):
        return False
    named = (call.label, *graph.callees(call))
    return any("norm" in slot.lower() for slot in named) or call.label.startswith("ln_")


def is_dropout(graph: CodeGraph, call: Node) -> bool:
    """Whether a call leaves out elements at random."""
    return any("drop" in slot.lower() for slot in (call.label, *graph.callees(call)))


def is_embedding(graph: CodeGraph, call: Node) -> bool:
    """Whether a call looks up embeddings."""
    return reached(graph, call) == ("torch.nn.Embedding.__call__",)


def is_nonlinear(graph: CodeGraph, call: Node) -> bool:
    """Whether a call applies a nonlinearity between layers."""
    found = reached(graph, call)
    if found == ("torch.Tensor.square",):
        return True
    names = {path.removesuffix(".__call__").rpartition(".")[2].lower() for path in found if path.startswith("torch.")}
    return bool(names) and names <= _NONLINEAR and len(names) == len(found)


def embeds(graph: CodeGraph, statement: Node) -> tuple[Node, ...]:
    """Return the calls of embeddings whose result, scaled or added to something, a statement gives to a name."""
    value = assigned(graph, statement)
    calls = (call_at(graph, statement, each) for each in _operands(value)) if value is not None else ()
    return tuple(call for call in calls if call is not None and is_embedding(graph, call))


def _operands(syntax: SyntaxNode) -> Iterator[SyntaxNode]:
    """Walk what an expression adds up and multiplies, through all brackets."""
    if syntax.type == "parenthesized_expression" or (
        syntax.type == "binary_operator" and text_of(field_of(syntax, "operator")) in ("+", "-", "*", "/")
    ):
        for part in parts(syntax):
            yield from _operands(part)
    else:
        yield syntax


def convolves(graph: CodeGraph, class_slot: str) -> bool:
    """Whether a class makes or applies a convolution, so that the last dimension of its activations may hold positions."""
    return bool(re.search(r"\bConv\w*\(|\bconv\dd\(", graph.text(graph.nodes[class_slot])))


def channels_last(graph: CodeGraph, call: Node) -> bool:
    """Whether nothing around a call, nor in what it runs, convolves: then the last dimension of an activation holds its channels."""
    classes = [graph.nodes[call.scope].scope, *(f.scope for f in forwards(graph, call))]
    return not any(convolves(graph, slot) for slot in classes if slot)


def gives_tensor(graph: CodeGraph, forward: Node) -> bool:
    """Whether a `forward` of ours returns one tensor and no tuple, as far as its returns show, with the channels in the last dimension."""
    values = [returned(graph, n) for n in statements_of(graph, forward) if n.label == "return"]
    one = all(
        v is not None and v.type not in ("expression_list", "tuple", "dictionary", "list", "none") for v in values
    )
    return bool(values) and one and not convolves(graph, forward.scope)


def looks_back(graph: CodeGraph, statement: Node) -> bool:
    """Whether a `forward` shifts a tensor by a position already."""
    text = graph.text(graph.nodes[statement.scope])
    return bool(re.search(r"\bpad\(|\broll\(|\[:, :-1\]|smear|shift", text))


def is_stateful(graph: CodeGraph, function: Node) -> bool:
    """Whether a `forward` is given a cache or a state, so that it may run a position at a time."""
    return any(_STATE.search(name) for name in _parameters(graph, function))


def tokens_of(graph: CodeGraph, statement: Node) -> str:
    """Return the token ids, of shape (B, T), that a statement looks up: a parameter of its `forward`; empty when that is unsure.

    One that is given a cache or a state as well also runs a position at a time, and then the tokens are not all there.
    """
    calls = embeds(graph, statement)
    function = graph.nodes[statement.scope]
    parameters = _parameters(graph, function) if calls else []
    if not calls or is_stateful(graph, function):
        return ""
    given = [a[0].value for call in calls if (a := read_call(graph, call).arguments)]
    ids = next((name for name in given if name in parameters), "")
    return ids if ids and re.search(_BATCH_FIRST.replace("IDS", ids), graph.text(function)) else ""


def normed(graph: CodeGraph, site: Node, sort: str, x: str, like: str = "") -> tuple[str, tuple[EnsureImport, ...]]:
    """Return the text that normalises `x` at a site, and its import; in the words of the file when that has a function for it.

    `like` names what has the size of `x`, where `x` is no name.
    """
    path = f"{FUNCTIONAL}.{NORMS[sort]}"
    for function in _functions(graph, site):
        inner = wrapped(graph, function) if "norm" in function.label.lower() else None
        if inner is not None and reached(graph, inner) == (path,) and len(_parameters(graph, function)) == 1:
            return f"{function.label}({x})", ()
    function_text, imports = spell(graph, site, path)
    return f"{function_text}({x}, {like or x}.shape[-1:])", imports


def forwards(graph: CodeGraph, call: Node) -> Iterator[Node]:
    """Walk the `forward` methods of ours that a call runs."""
    for slot in graph.callees(call):
        node = graph.nodes[slot]
        if node.label == "forward" and node.path and is_torch_module(graph, node.scope):
            yield node


def adds_to_stream(graph: CodeGraph, slot: str) -> bool:
    """Whether a `forward` of ours gives back its first argument with residual branches added, so that the shape stays."""
    node = graph.nodes[slot]
    if node.label != "forward" or node.kind is not NodeKind.FUNCTION or not is_torch_module(graph, node.scope):
        return False
    parameters = _parameters(graph, node)
    statements = statements_of(graph, node)
    returns = [text_of(value) for n in statements if (value := returned(graph, n)) is not None]
    stream = parameters[1] if len(parameters) > 1 else ""
    writing = writers(graph, node, stream) if stream else ()
    return bool(writing) and returns == [stream] and all(_keeps_stream(graph, n) for n in writing)


def statements_of(graph: CodeGraph, function: Node) -> tuple[Node, ...]:
    """Return all statements of a function in source order, those of inner blocks included."""
    return tuple(
        n for n in graph.files[function.path].nodes if n.kind is NodeKind.STATEMENT and n.scope == function.slot
    )


def writers(graph: CodeGraph, function: Node, name: str) -> tuple[Node, ...]:
    """Return the statements of a function that bind a name, in source order."""
    slots = {b.slot for b in graph.bindings(name, function.slot) if b.scope == function.slot}
    found = (graph.nodes[s] for slot in slots for s in graph.sources(slot, EdgeKind.WRITES))
    return tuple(sorted((n for n in found if n.scope == function.slot), key=lambda n: n.start))


def attention_of(graph: CodeGraph, function: Node) -> Attention | None:
    """Return where the queries and keys of a `forward` meet; None when they are no plain names, or several pairs do."""
    text = graph.text(function)
    if not any(word in text for word in (*_ATTENTION, "@", "matmul", "bmm")):
        return None
    found = dict.fromkeys(_meetings(graph, function))
    pairs = {(q, k) for q, k, _, _ in found}
    if len(pairs) != 1:
        return None
    q, k, first, _ = min(found, key=lambda f: f[2].start)
    bound = max(
        (w.end for name in (q, k) for w in writers(graph, function, name) if w.end <= first.start),
        default=function.start,
    )
    around = [
        n
        for n in graph.ancestors(first)
        if n.kind is NodeKind.STATEMENT and n.scope == function.slot and n.start >= bound
    ]
    statement = around[-1] if around else graph.statement(first)
    if statement is None:
        return None
    own = not all(slot.startswith("torch.") for _, _, n, e in found if e for slot in graph.callees(n) or ("",))
    return Attention(q, k, statement, own)


def is_rotary(graph: CodeGraph, statement: Node) -> bool:
    """Whether a statement rotates queries or keys by their positions."""
    return any(_ROTARY.search(call.label) for call in calls_in(graph, statement))


def qk_normed(graph: CodeGraph, function: Node, q: str, k: str) -> bool:
    """Whether the class of an attention normalises its queries or keys."""
    writing = (*writers(graph, function, q), *writers(graph, function, k))
    if any(is_norm(graph, call) for w in writing for call in calls_in(graph, w)):
        return True
    return bool(_QK_NORMED.search(graph.text(graph.nodes[function.scope])))


def within_text(graph: CodeGraph, outer: Span | Node, inner: Node, text: str) -> str:
    """Return the text of an expression with another one in the place of a call inside of it."""
    data = graph.snapshot.files[outer.path]
    return (data[outer.start : inner.start] + text.encode() + data[inner.end : outer.end]).decode()


def span_text(graph: CodeGraph, place: Span) -> str:
    """Return the source at a place."""
    return graph.snapshot.files[place.path][place.start : place.end].decode()


def _keeps_stream(graph: CodeGraph, statement: Node) -> bool:
    """Whether a statement adds a branch to a stream, or normalises it."""
    call = call_at(graph, statement, assigned(graph, statement))
    return branch_of(graph, statement) is not None or (call is not None and is_norm(graph, call))


def _added(graph: CodeGraph, statement: Node) -> SyntaxNode | None:
    """Return what a statement adds to the name that it binds."""
    found = assignment_of(graph, statement)
    if (
        found is None
        or found.type not in ("assignment", "augmented_assignment")
        or field_of(found, "left").type != "identifier"
    ):
        return None
    right = found.child_by_field_name("right")
    if found.type == "augmented_assignment":
        return right if text_of(field_of(found, "operator")) == "+=" else None
    if right is None or right.type != "binary_operator" or text_of(field_of(right, "operator")) != "+":
        return None
    left, other = field_of(right, "left"), field_of(right, "right")
    added = other if text_of(left) == statement.label else left if text_of(other) == statement.label else None
    return added if added is not None and added.type != "conditional_expression" else None


def _inside(graph: CodeGraph, call: Node) -> SyntaxNode:
    return field_of(graph.syntax(call), "arguments")


def _has_weights(graph: CodeGraph, slot: str) -> bool:
    node = graph.nodes[slot]
    if not node.path:
        return bool(_WEIGHTED.match(slot)) and slot.endswith(".__call__")
    if node.kind is NodeKind.LAMBDA:
        inside = (
            n
            for n in graph.files[node.path].nodes
            if n.kind is NodeKind.CALL and node.start < n.start and n.end <= node.end
        )
        return any(_WEIGHTED.match(callee) for n in inside for callee in graph.callees(n))
    if node.label != "forward" or not is_torch_module(graph, node.scope):
        return False
    members = (s for owner in graph.lineage(node.scope) for s in graph.targets(owner, EdgeKind.DEFINES))
    return any(graph.targets(s, EdgeKind.SUBMODULE) or graph.targets(s, EdgeKind.REGISTERS) for s in members)


def _functions(graph: CodeGraph, site: Node) -> Iterator[Node]:
    """Walk the functions at the top of a site's file."""
    file = graph.files[site.path]
    return (n for n in file.nodes if n.kind is NodeKind.FUNCTION and n.scope == file.module)


def _parameters(graph: CodeGraph, function: Node) -> list[str]:
    return [
        graph.nodes[s].label
        for s in graph.targets(function.slot, EdgeKind.DEFINES)
        if graph.nodes[s].kind is NodeKind.PARAMETER
    ]


def _meetings(graph: CodeGraph, function: Node) -> Iterator[tuple[str, str, Node, bool]]:
    """Walk (queries, keys, where they meet, whether that is a kernel) of a function."""
    for node in graph.files[function.path].nodes:
        if node.scope != function.slot or node.kind not in (NodeKind.CALL, NodeKind.OPERATOR):
            continue
        if node.kind is NodeKind.CALL and node.label in _ATTENTION:
            given = [a.value for a in read_call(graph, node).arguments if not a.name]
            if len(given) >= 2 and given[0].isidentifier() and given[1].isidentifier():
                yield given[0], given[1], node, True
            continue
        pair = _product(graph, node)
        transposed = _TRANSPOSED.fullmatch(pair[1]) if pair is not None else None
        if pair is not None and transposed is not None and pair[0].isidentifier():
            yield pair[0], transposed[1], node, False


def _product(graph: CodeGraph, node: Node) -> tuple[str, str] | None:
    if node.kind is NodeKind.OPERATOR:
        sides = graph.text(node).split("@") if node.label == "matmul" else []
        return (sides[0].strip(), sides[1].strip()) if len(sides) == 2 else None
    if node.label not in ("matmul", "bmm"):
        return None
    given = [a.value for a in read_call(graph, node).arguments]
    return (given[0], given[1]) if len(given) == 2 else None
