"""Sizes that belong together: which literals set the depth, the widths and the heads of a model, and what must stay true of them.

Every size of a layer is evaluated (see `mutator.constants`) and noted at the literals that it was computed from. What must stay true
are the asserts of the sources, and what layers demand without one: heads divide the width, a size is a whole number of at least 1.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from graph.code_graph import CodeGraph
from graph.model import EdgeKind, Node, NodeKind
from graph.syntax import descend, field_of, parts, text_of
from mutator.assertions import breaks_assertion
from mutator.callees import reached
from mutator.constants import Place, Scalar, World, readings, value_in
from mutator.facts import is_torch_module
from mutator.intents import ReplaceExpr
from mutator.memory import remembered
from mutator.numbers import name_of, off_the_path
from mutator.stated import Unknown, call_at

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tree_sitter import Node as SyntaxNode

NN = "torch.nn."


class Use(StrEnum):
    """What a literal sets in a model."""

    DEPTH = "depth"  # how many blocks a container holds
    IN = "in"  # the width that a layer reads
    OUT = "out"  # the width that a layer writes
    KEEP = "keep"  # the width that a norm or parameter has
    COUNT = "count"  # rows of an embedding: what the data has
    HEADS = "heads"
    STEP = "step"  # kernel, stride, padding


_IN, _OUT, _KEEP, _COUNT, _HEADS, _DEPTH, _STEP = Use.IN, Use.OUT, Use.KEEP, Use.COUNT, Use.HEADS, Use.DEPTH, Use.STEP
_CONV = (("in_channels", _IN), ("out_channels", _OUT), ("kernel_size", _STEP), ("stride", _STEP), ("padding", _STEP))
_RECURRENT = (("input_size", _IN), ("hidden_size", _OUT), ("num_layers", _DEPTH))
_ATTENDING = (("d_model", _KEEP), ("nhead", _HEADS), ("dim_feedforward", _OUT))
SIZES: Mapping[str, tuple[tuple[str, Use], ...]] = {
    "Linear": (("in_features", _IN), ("out_features", _OUT)), "Embedding": (("num_embeddings", _COUNT), ("embedding_dim", _OUT)),
    "LayerNorm": (("normalized_shape", _KEEP),), "RMSNorm": (("normalized_shape", _KEEP),),
    "GroupNorm": (("num_groups", _HEADS), ("num_channels", _KEEP)), "MultiheadAttention": (("embed_dim", _KEEP), ("num_heads", _HEADS)),
    "TransformerEncoderLayer": _ATTENDING, "TransformerDecoderLayer": _ATTENDING,
    "Transformer": (("d_model", _KEEP), ("nhead", _HEADS), ("num_encoder_layers", _DEPTH),
                    ("num_decoder_layers", _DEPTH), ("dim_feedforward", _OUT)),
    "TransformerEncoder": (("", _STEP), ("num_layers", _DEPTH)), "TransformerDecoder": (("", _STEP), ("num_layers", _DEPTH)),
    "LSTM": _RECURRENT, "GRU": _RECURRENT, "RNN": _RECURRENT,
    **{f"Conv{n}d": _CONV for n in (1, 2, 3)}, **{f"ConvTranspose{n}d": _CONV for n in (1, 2, 3)},
    **{f"{kind}Norm{n}d": (("num_features", _KEEP),) for kind in ("Batch", "Instance") for n in (1, 2, 3)},
}  # fmt: skip
_ELSEWHERE = re.compile(r"(^|[/_])(tests?|bench|infer|generate|sample|eval|scorer?|predict)(_[^/]*)?(/|\.py$)")
_COLLECTS = frozenset({"append", "add_module", "insert", "extend", "setattr"})
_BUILDS = ("list_comprehension", "generator_expression", "dictionary_comprehension", "for_statement")
WIDTHS = re.compile(
    r"^(n_embd|d_?model|hidden(_?(size|dim|units|channels))?|emb(ed)?(ding)?_?(dim|size)|model_dim|n_model|emsize|width|dim|nhid|d_ff|intermediate_size|n_?hidden|ngf|ndf)$"
)
DEPTHS = re.compile(r"^(n|num)_?(hidden_|encoder_|decoder_)?(layers?|blocks?)$|(^|_)depth$")
HEADS = re.compile(r"^(n_?heads?|num_(attention_)?heads|heads)$")
GROUPS = re.compile(r"^(n_?kv_?heads?|num_(kv|key_value)_heads|n_query_groups)$")
HEAD_DIMS = re.compile(r"^(head_(dim|size)|d_head|dim_head)$")
RATIOS = re.compile(r"^((mlp|ffn?|ff|expansion|hidden)_?)+(ratio|mult|multiplier|factor)$|^expansion$")
FIXED = re.compile(
    r"vocab|^n_?tokens?$|class|seq|block_size|context|max_len|(in|out)put|latent|action|state|image|patch|channels?$|batch|seed|worker"
)

_NAMED: Mapping[Use, re.Pattern[str]] = {Use.DEPTH: DEPTHS, Use.IN: WIDTHS, Use.OUT: WIDTHS, Use.HEADS: HEADS}


# --- what literals set ------------------------------------------------------------------------------------------------------------------


@remembered
def uses(graph: CodeGraph) -> Mapping[Place, frozenset[Use]]:
    """Return what each literal sets in the models of a graph; one that stands in the call of a layer itself is left out."""
    found: defaultdict[Place, set[Use]] = defaultdict(set)
    for call in graph.of_kind(NodeKind.CALL):
        for expression, use in _sizes(graph, call):
            for reading in readings(graph, expression, call.scope, call.path):
                for path, start in reading.literals:
                    if path != call.path or not call.start <= start < call.end:
                        found[path, start].add(use)
    for literal, use in _rows(graph):
        found[literal.path, literal.start].add(use)
    return {place: frozenset(sets) for place, sets in found.items()}


def uses_of(graph: CodeGraph, literal: Node) -> frozenset[Use]:
    """Return what a literal sets in the models of a graph."""
    return uses(graph).get((literal.path, literal.start), frozenset())


def layer_of(graph: CodeGraph, call: Node) -> str:
    """Return the last name of the torch layer that a call makes, local subclasses included: `Linear`; empty for anything else."""
    if not (call.label[:1].isupper() or call.label == "__init__"):
        return ""
    made = [graph.nodes[slot] for slot in graph.callees(call)]
    if any(n.path and n.kind is not NodeKind.CLASS for n in made):  # an `__init__` of ours takes other arguments
        return ""
    paths = reached(graph, call)
    name = paths[0].removeprefix(NN).removesuffix(".__init__") if len(paths) == 1 and paths[0].startswith(NN) else ""
    return name if name in SIZES else ""


def sizes_of(graph: CodeGraph, call: Node) -> Iterator[tuple[SyntaxNode, Use]]:
    """Walk the expressions that a layer takes as sizes."""
    given = parts(field_of(graph.syntax(call), "arguments"))
    positional = [a for a in given if a.type != "keyword_argument"]
    named = {text_of(field_of(a, "name")): field_of(a, "value") for a in given if a.type == "keyword_argument"}
    if any(a.type in ("list_splat", "dictionary_splat", "generator_expression") for a in positional):
        return
    for place, (name, use) in enumerate(SIZES[layer_of(graph, call)]):
        if name in named:
            yield named[name], use
        elif place < len(positional):
            yield positional[place], use


def _rows(graph: CodeGraph) -> Iterator[tuple[Node, Use]]:
    """Walk the sizes in `"gpt-nano": dict(n_layer=3, n_head=3, n_embd=48)`, where the sources name that row in an assignment."""
    for call in graph.of_kind(NodeKind.CALL):
        pair = graph.syntax(call).parent if call.label == "dict" else None
        key = text_of(field_of(pair, "key")).strip("\"'") if pair is not None and pair.type == "pair" else ""
        if not key or not any(
            re.search(rb"\w *= *[\"']%s[\"']" % re.escape(key.encode()), data)
            for path, data in graph.snapshot.files.items()
            if not _ELSEWHERE.search(path)
        ):
            continue
        inside = [graph.nodes[slot] for slot in graph.targets(call.slot, EdgeKind.CONTAINS)]
        named = [
            (n, use)
            for n in inside
            if n.kind is NodeKind.LITERAL
            for use in _NAMED
            if _NAMED[use].search(n.label.lower())
        ]
        yield from named if len({use for _, use in named}) > 1 else ()


def _sizes(graph: CodeGraph, call: Node) -> Iterator[tuple[SyntaxNode, Use]]:
    if call.label == "range" and _builds_layers(graph, call):
        last = parts(field_of(graph.syntax(call), "arguments"))
        yield from ((expression, Use.DEPTH) for expression in last[-1:])
    elif layer_of(graph, call):
        yield from sizes_of(graph, call)


def _builds_layers(graph: CodeGraph, call: Node) -> bool:
    """Whether a `range` counts the blocks that a comprehension or loop makes."""
    outer = graph.syntax(call).parent
    while outer is not None and outer.type in ("for_in_clause", "argument_list", "call"):
        outer = outer.parent
    if outer is None or outer.type not in _BUILDS:
        return False
    inside = [node for n in descend(outer) if n.type == "call" and (node := call_at(graph, call.path, n)) is not None]
    collects = outer.type != "for_statement" or any(node.label in _COLLECTS for node in inside)
    return collects and any(makes_module(graph, node) for node in inside)


def makes_module(graph: CodeGraph, call: Node) -> bool:
    """Whether a call makes a torch module."""
    made = graph.callees(call)
    return any(
        (graph.nodes[s].kind is NodeKind.CLASS and is_torch_module(graph, s))
        or (s.startswith(NN) and s.count(".") == 2 and s[9:10].isupper())
        for s in made
    )


# --- literals that state a size ---------------------------------------------------------------------------------------------------------


def stated_as(graph: CodeGraph, literal: Node) -> str:
    """Return the name, in lower case, of the field, constant, option or argument that a whole number is given to; else nothing.

    Empty as well in tests and in code that measures or reports, and for a positional argument, which has neighbours that must fit it.
    """
    named = literal.role in ("value", "default", "entry") or (
        literal.role == "argument" and graph.parent(literal) is not None
    )
    if not named or _ELSEWHERE.search(literal.path) or not graph.text(literal).replace("_", "").isdigit():
        return ""
    return "" if off_the_path(graph, literal) else name_of(graph, literal).lower()


def siblings(graph: CodeGraph, literal: Node) -> Mapping[str, Node]:
    """Return the literals that are stated next to one, by name: fields of a class, constants of a module, options, arguments of a call."""
    around = graph.parent(literal) if literal.label != "default" and literal.role == "argument" else None
    found: dict[str, Node] = {}
    for node in graph.files[literal.path].nodes:
        beside = node.scope == literal.scope and node.role == literal.role and node.kind is NodeKind.LITERAL
        if beside and (around is None or graph.parent(node) == around) and (name := stated_as(graph, node)):
            found.setdefault(name, node)
    return found


def sibling(graph: CodeGraph, literal: Node, names: re.Pattern[str]) -> Node | None:
    """Return the one literal next to another whose name fits."""
    found = [node for name, node in siblings(graph, literal).items() if names.search(name) and node != literal]
    return found[0] if len(found) == 1 else None


def same_size(graph: CodeGraph, literal: Node) -> tuple[Node, ...]:
    """Return all literals of a scope that state the same size under the same name: `Decoder(dim=512)`, `Head(dim=512)`; itself first."""
    name, text = stated_as(graph, literal), graph.text(literal)
    inside = (
        n
        for n in graph.files[literal.path].nodes
        if n.kind is NodeKind.LITERAL and n.scope == literal.scope and n != literal
    )
    if literal.role != "argument" or literal.label == "default":
        return (literal,)
    return (
        literal,
        *(n for n in inside if n.role == "argument" and graph.text(n) == text and stated_as(graph, n) == name),
    )


def value(graph: CodeGraph, literal: Node) -> int:
    """Return the whole number that a literal is."""
    return int(graph.text(literal).replace("_", ""))


def written_like(graph: CodeGraph, literal: Node, number: int) -> ReplaceExpr:
    """Replace a whole number, with underscores where the author has them."""
    return ReplaceExpr(literal, f"{number:{'_' if '_' in graph.text(literal) else ''}}")


def fits(graph: CodeGraph, changes: Mapping[Node, int]) -> bool:
    """Whether no assert and no layer fails when some literals have other values."""
    return not misfits(graph, changes)


# --- what must stay true ----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Constraint:
    """Something that is true in a world, and the expressions that say it."""

    node: Node  # the assert, or the call that demands it
    start: int
    end: int
    rule: str  # true, divides, even, size
    world: World
    literals: frozenset[Place]

    def holds(self, graph: CodeGraph, changes: Mapping[Place, Scalar]) -> bool:
        """Whether it is true when some literals have other values; what cannot be evaluated any more counts as true."""
        syntax = graph.files[self.node.path].tree.root_node.descendant_for_byte_range(self.start, self.end)
        if syntax is None:
            return True
        try:
            if self.rule == "divides":
                left, right = (
                    _whole(
                        value_in(graph, field_of(syntax, side), self.node.scope, self.node.path, self.world, changes)
                    )
                    for side in ("left", "right")
                )
                return right > 0 and left % right == 0
            value = value_in(graph, syntax, self.node.scope, self.node.path, self.world, changes)
        except Unknown:
            return True
        if self.rule == "true":
            return bool(value)
        return type(value) is int and value >= 1 and not (self.rule == "even" and value % 2)


def broken_assertions(graph: CodeGraph, changes: Mapping[Node, Scalar]) -> tuple[Node, ...]:
    """Return the asserts that hold now and fail when some literals have other values."""
    return tuple(dict.fromkeys(c.node for c in _broken(graph, changes) if c.rule == "true"))


def misfits(graph: CodeGraph, changes: Mapping[Node, int]) -> bool:
    """Whether an assert or a layer would fail when some literals have other values."""
    if any(True for _ in _broken(graph, changes)):
        return True
    return len(changes) == 1 and all(breaks_assertion(graph, node, str(value)) for node, value in changes.items())


def constrained(graph: CodeGraph, literal: Node) -> bool:
    """Whether an assert or a layer depends on a literal."""
    return (literal.path, literal.start) in _constraints(graph)[1]


def _broken(graph: CodeGraph, changes: Mapping[Node, Scalar] | Mapping[Node, int]) -> Iterator[Constraint]:
    places: dict[Place, Scalar] = {(node.path, node.start): value for node, value in changes.items()}
    known, by_place = _constraints(graph)
    concerned = dict.fromkeys(number for place in places for number in by_place.get(place, ()))
    return (known[number] for number in concerned if not known[number].holds(graph, places))


@remembered
def _constraints(graph: CodeGraph) -> tuple[tuple[Constraint, ...], Mapping[Place, tuple[int, ...]]]:
    """Return what holds now, and by the place of a literal which of it depends on that."""
    found = [c for node in graph.nodes.values() if node.path for c in _demands(graph, node)]
    by_place: defaultdict[Place, list[int]] = defaultdict(list)
    for number, constraint in enumerate(found):
        for place in constraint.literals:
            by_place[place].append(number)
    return tuple(found), {place: tuple(numbers) for place, numbers in by_place.items()}


def _demands(graph: CodeGraph, node: Node) -> Iterator[Constraint]:
    if node.kind is NodeKind.STATEMENT and node.label == "assert":
        yield from _holding(graph, node, parts(graph.syntax(node))[0], "true")
    elif (
        node.kind is NodeKind.OPERATOR
        and node.label == "floordiv"
        and not text_of(field_of(graph.syntax(node), "right")).isdigit()
    ):
        yield from _divisions(graph, node)
    elif node.kind is NodeKind.CALL and node.label == "arange":
        given = parts(field_of(graph.syntax(node), "arguments"))
        if len(given) > 2 and text_of(given[2]) == "2" and text_of(given[0]) == "0":
            yield from _holding(graph, node, given[1], "even")
    elif node.kind is NodeKind.CALL and layer_of(graph, node):
        for expression, use in sizes_of(graph, node):
            if use is not Use.STEP:
                yield from _holding(graph, node, expression, "size")


def _holding(graph: CodeGraph, node: Node, expression: SyntaxNode, rule: str) -> Iterator[Constraint]:
    for reading in readings(graph, expression, node.scope, node.path):
        constraint = Constraint(node, expression.start_byte, expression.end_byte, rule, reading.world, reading.literals)
        if reading.literals and constraint.holds(graph, {}):
            yield constraint


def _divisions(graph: CodeGraph, node: Node) -> Iterator[Constraint]:
    """Walk the divisions without a remainder in modules: `n_embd // n_head` cuts a width into heads."""
    function = graph.nodes[node.scope]
    owner = graph.nodes.get(function.scope)
    if owner is not None and owner.kind is NodeKind.CLASS and is_torch_module(graph, owner.slot):
        yield from _holding(graph, node, graph.syntax(node), "divides")


def _whole(value: Scalar) -> int:
    if type(value) is not int:
        raise Unknown
    return value
