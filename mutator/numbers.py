"""What numbers in training code are for: the name that a literal goes by, whether it is a quantity, and how its new value is written.

A number is a quantity when another one in its place still makes sense: no index, shape, count of positions, seed, version, budget or
logging interval. Names decide where types do not: what is not in doubt is offered, and `mutator.number_roles` knows what sets what.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from graph.code_graph import CodeGraph
from graph.model import EdgeKind, Node, NodeKind
from graph.options import option_name
from graph.syntax import dotted, field_of, parts, text_of
from mutator.facts import places_things
from mutator.kind import Reason

if TYPE_CHECKING:
    from tree_sitter import Node as SyntaxNode

_NUMBER = re.compile(r"-?(\d[\d_]*\.?[\d_]*|\.\d+)([eE][+-]?\d+)?")
_HUGE = 1e8  # best_loss = 1e9 means infinity
_FITTED = 7  # more digits than that come out of a fit, and go together with others
_DIGITS = re.compile(r"[eE].*|[^0-9]|^[-0._]+")
_CONTAINERS = ("tuple", "list", "set", "parenthesized_expression")
_ARITHMETIC = ("binary_operator", "unary_operator", "parenthesized_expression", "conditional_expression")
_MEASURING = re.compile(r"eval|valid|generate|sample|benchmark|estimate_loss|scor|judge|test(_|$)")
_REPORTING = re.compile(
    r"flops|mfu|bandwidth|num_params|numel|kv_.*bytes|report|plot|print|log_|logger|profil|memory|from_pretrained|load|save|convert"
    r"|download|upload|hub|render|format|tokeniz|worker_init|__repr__|extra_repr"
)
_REPORTS = frozenset(
    {"print", "print0", "log", "info", "debug", "warning", "write", "add_scalar", "set_description", "set_postfix"}
)
_BUDGET = re.compile(
    r"max_iter|max_steps|num_iter|n_iter|num_steps|n_steps|total_steps|train_steps|epochs?$|budget|max_time|time_limit|max_tokens|max_new"
    r"|train_tokens|horizon|target_flops|param_data_ratio|best_|(^|_)(eval|val|test|log|save|sample|core|print)_|eval_|log_every|patience"
)
_NO_QUANTITY = re.compile(
    r"version|interval|timeout|sleep|port$|num_proc|flops|ignore_ind|(^|_)(idx|index|id|ids|rank|bits|bytes|dims|ndim|axis|seed)$|^dim$|seed"
    r"|world_size|local_rank|num_workers|prefetch|width_px|dpi|figsize|verbose|every$|_every_|precision|rounding|chunk|buffer_size"
    r"|temperature|top_?k|top_?p$|num_samples|run$|padding|kernel_size|stride|dilation|n?groups$|channels?$|num_classes|n_class|(in|out)_features"
    r"|token$|_token_|compression|indent|maxlen|cutoff|offset|shard|retries|start$|stop$|level$|capability|trials"
)
_CONTEXT = re.compile(
    r"vocab|block_size|^(max_|train_)?seq(uence)?_?len|max_seq|max_len|context_(len|size)|ctx_len|n_ctx|bptt|max_positions?$"
)
_LAYERS = frozenset({"Linear", "Embedding", "LayerNorm", "Dropout"})
_POWERS = frozenset({"pow", "pow_", "float_power"})  # another exponent of a negative number is no number
_SHAPE_CALLS = re.compile(
    r"^(torch\.(zeros|ones|empty|full|rand|randn|eye|arange|linspace)$|torch\.nn\.(?!functional|init|utils))"
)
_POSITIONAL = {
    "Dropout": ("p",), "dropout": ("", "p"), "clip_grad_norm_": ("", "max_norm"), "layer_norm": ("", "", "", "", "eps"),
    "rms_norm": ("", "", "", "eps"), "LayerNorm": ("", "eps"), "RMSNorm": ("", "eps"), "normal_": ("", "mean", "std"),
    "trunc_normal_": ("", "mean", "std"), "constant_": ("", "val"), "SGD": ("", "lr", "momentum"), "Adam": ("", "lr", "betas", "eps"),
    "AdamW": ("", "lr", "betas", "eps"),
}  # fmt: skip


# --- reading and writing ------------------------------------------------------------------------------------------------------------------


def is_number(text: str) -> bool:
    """Whether a literal is a decimal number: no string, boolean, hexadecimal or imaginary one."""
    return bool(_NUMBER.fullmatch(text))


def is_int(text: str) -> bool:
    """Whether a number is written as an integer."""
    return text.lstrip("-").replace("_", "").isdigit()


def value_of(text: str) -> float:
    """Return the value of a number as it is written."""
    return float(text.replace("_", ""))


def written(value: float, like: str) -> str:
    """Write a number in the author's format: integers stay integers, `1e-4` keeps its exponent, `65_536` its underscores."""
    if is_int(like):
        return f"{round(value):{'_' if '_' in like else ''}}"
    rounded = float(f"{value:.4g}")
    if "e" in like.lower() and rounded:
        mantissa, exponent = f"{rounded:.3e}".split("e")
        return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
    return repr(rounded)


# --- names --------------------------------------------------------------------------------------------------------------------------------


def name_of(graph: CodeGraph, node: Node) -> str:
    """Return the name that a literal, or the expression that it is part of, goes by; empty for a number without a name.

    Of a field, constant or keyword its name; of a value in a dictionary its key; of a command-line default the option; of an element of a
    tuple the name of the tuple; of a positional argument the parameter, where the callee is known.
    """
    if node.role == "positional":
        return _parameter_of(graph, node)
    if node.role == "argument" and node.label == "default":
        call = graph.parent(node)
        option = option_name(graph.syntax(call)) if call is not None and call.kind is NodeKind.CALL else ""
        return option or node.label
    if node.role in ("entry", "element", "value", "operand") and node.label in ("entry", "value"):
        return _key_of(graph.syntax(node))
    return node.label


def in_call(graph: CodeGraph, node: Node) -> str:
    """Return the last name of the call that a literal is an argument of; empty when it is none."""
    outer = graph.parent(node)
    return (
        outer.label
        if node.role in ("argument", "positional") and outer is not None and outer.kind is NodeKind.CALL
        else ""
    )


def _key_of(syntax: SyntaxNode) -> str:
    """Return the string key that a value is stored under: `{"lr": 0.1}`, `group["lr"] = 0.1`."""
    child, outer = syntax, syntax.parent
    while outer is not None and outer.type in (*_CONTAINERS, *_ARITHMETIC):
        child, outer = outer, outer.parent
    if outer is not None and outer.type == "pair":
        return _string(field_of(outer, "key")) if child == outer.child_by_field_name("value") else ""
    if outer is not None and outer.type == "assignment":
        left = field_of(outer, "left")
        index = left.child_by_field_name("subscript") if left.type == "subscript" else None
        return _string(index) if index is not None else ""
    return ""


def _string(syntax: SyntaxNode) -> str:
    return (
        "".join(text_of(part) for part in syntax.children if part.type == "string_content")
        if syntax.type == "string"
        else ""
    )


def _parameter_of(graph: CodeGraph, node: Node) -> str:
    call = graph.parent(node)
    if call is None or call.kind is not NodeKind.CALL:
        return ""
    given = parts(field_of(graph.syntax(call), "arguments"))
    place = next((i for i, part in enumerate(given) if part.start_byte == node.start), -1)
    if place < 0 or any(part.type in ("list_splat", "dictionary_splat") for part in given[:place]):
        return ""
    if call.label in ("get", "getattr", "setdefault", "pop") and place and given[place - 1].type == "string":
        return _string(given[place - 1])
    runs = graph.callees(call)
    ours = [slot for slot in runs if slot in graph.nodes and graph.nodes[slot].kind is NodeKind.FUNCTION]
    if len(ours) == 1:
        return _nth_parameter(
            graph, ours[0], place, method=dotted(field_of(graph.syntax(call), "function")) != call.label
        )
    known = _POSITIONAL.get(call.label, ()) if len(runs) == 1 and runs[0].startswith("torch.") else ()
    return known[place] if place < len(known) else ""


def _nth_parameter(graph: CodeGraph, function: str, place: int, *, method: bool) -> str:
    names = [
        graph.nodes[s].label
        for s in graph.targets(function, EdgeKind.DEFINES)
        if graph.nodes[s].kind is NodeKind.PARAMETER
    ]
    bound = names[:1] == ["self"] or (method and names[:1] == ["cls"])
    names = names[1:] if bound else names
    return names[place] if place < len(names) else ""


# --- quantities ---------------------------------------------------------------------------------------------------------------------------


def not_a_quantity(graph: CodeGraph, node: Node) -> Reason | None:
    """Say why a number must stay: what it counts, places or names; None for a quantity, zero included."""
    text = graph.text(node)
    if not is_number(text):
        return Reason.NO_SITE
    if abs(value_of(text)) >= _HUGE or len(_DIGITS.sub("", text)) > _FITTED or not _may_stand_there(graph, node, text):
        return Reason.NO_QUANTITY
    return kept(graph, node)


def kept(graph: CodeGraph, node: Node) -> Reason | None:
    """Say why a number or string must stay, by its name and by what the code around it is for; None when it may change."""
    name = name_of(graph, node).lower()
    if _NO_QUANTITY.search(name) or places_things(graph, node):
        return Reason.NO_QUANTITY
    if _BUDGET.search(name):
        return Reason.PROTECTED
    return Reason.CONTRACT if _CONTEXT.search(name) else off_the_path(graph, node)


def off_the_path(graph: CodeGraph, node: Node) -> Reason | None:
    """Say why code has no part in the training: it measures, or what it computes is only reported."""
    for outer in graph.ancestors(node):
        if outer.kind in (NodeKind.FUNCTION, NodeKind.CLASS):
            label = outer.label.lower()
            if _MEASURING.search(label):
                return Reason.PROTECTED
            if _REPORTING.search(label):
                return Reason.NO_EFFECT
    statement = graph.statement(node)
    return Reason.NO_EFFECT if statement is not None and only_reported(graph, statement) else None


def only_reported(graph: CodeGraph, statement: Node) -> bool:
    """Whether all that a statement computes ends in prints and logs."""
    seen, pending, reported = {statement.slot}, [statement], False
    while pending:
        current = pending.pop()
        if current.label in _REPORTS:
            reported = True
            continue
        written_to = [graph.nodes[slot] for slot in graph.targets(current.slot, EdgeKind.WRITES)]
        if not written_to or any(v.kind is not NodeKind.VARIABLE for v in written_to):
            return False
        readers = [graph.nodes[s] for v in written_to for s in graph.sources(v.slot, EdgeKind.READS)]
        if any(r.kind is not NodeKind.STATEMENT for r in readers):
            return False
        pending += [r for r in readers if r.slot not in seen]
        seen.update(r.slot for r in readers)
    return reported


def _may_stand_there(graph: CodeGraph, node: Node, text: str) -> bool:
    """Whether a number of that type is a quantity in its place: whole ones may count positions unless they have a name of their own."""
    syntax, outer = graph.syntax(node), graph.syntax(node).parent
    while outer is not None and outer.type == "parenthesized_expression":
        syntax, outer = outer, outer.parent
    if outer is None or outer.type in (
        "comparison_operator",
        "augmented_assignment",
        "boolean_operator",
        "not_operator",
    ):
        return not is_int(text) and outer is not None and outer.type == "augmented_assignment"
    if node.role == "operand":
        return _operand_counts(graph, node, syntax, outer, text)
    if in_call(graph, node) in _POWERS:
        return False
    if not is_int(text):
        return node.role != "statement" or value_of(text) != 0
    if node.role == "positional":
        return bool(_parameter_of(graph, node)) and in_call(graph, node) not in _LAYERS
    if node.role == "argument":
        return _free_argument(graph, node)
    return node.role in ("value", "default", "entry") and int(value_of(text)) >= 0


def _free_argument(graph: CodeGraph, node: Node) -> bool:
    """Whether a whole number given by keyword is not the size of a layer or a tensor, which other sites must agree with."""
    call = graph.parent(node)
    return call is not None and not any(_SHAPE_CALLS.search(path) for path in graph.callees(call))


def _operand_counts(graph: CodeGraph, node: Node, syntax: SyntaxNode, outer: SyntaxNode, text: str) -> bool:
    if outer.type == "conditional_expression":
        return not is_int(text) and value_of(text) != 0
    if outer.type != "binary_operator":
        return not is_int(text)
    operator, right = text_of(field_of(outer, "operator")), syntax == field_of(outer, "right")
    complement = operator == "-" and abs(value_of(text)) == 1  # 1 - x, x - 1: the algebra of fractions
    if operator not in ("+", "-", "*", "/", "//", "**") or complement or "%" in text_of(outer):
        return False
    if not is_int(text):
        return value_of(text) != 0
    if operator == "/":
        return right and int(value_of(text)) > 1
    return operator in ("*", "//") and int(value_of(text)) > 1 and _flows_freely(graph, node, syntax)


def _flows_freely(graph: CodeGraph, node: Node, syntax: SyntaxNode) -> bool:
    """Whether a whole product or quotient is bound to a name that no index, slice, reshape or layer takes directly."""
    outer = syntax.parent
    while outer is not None and outer.type in _ARITHMETIC:
        outer = outer.parent
    if outer is None or outer.type != "assignment":
        return False
    statement = graph.statement(node)
    name = dotted(field_of(outer, "left"))
    if statement is None or not name:
        return False
    slots = [graph.nodes[slot] for slot in graph.targets(statement.slot, EdgeKind.WRITES)]
    readers = [graph.nodes[s] for v in slots for s in graph.sources(v.slot, EdgeKind.READS)]
    used = re.compile(rf"\b{re.escape(name.rpartition('.')[2])}\b")
    return bool(readers) and not any(_takes_as_size(graph, reader, used) for reader in readers)


_SIZED = frozenset(
    {"view", "reshape", "expand", "repeat", "split", "chunk", "unflatten", "zeros", "ones", "empty", "full", "rand", "randn", "arange",
     "range", "Linear", "Embedding", "LayerNorm", "RMSNorm", "Parameter", "narrow", "randint", "Conv1d", "Conv2d", "pad",
     "tril", "triu", "roll"}
)  # fmt: skip


_POSITIONS = frozenset({"eq", "ne", "mod", "in"})  # what a name is compared with there counts


def _takes_as_size(graph: CodeGraph, statement: Node, used: re.Pattern[str]) -> bool:
    """Whether a statement uses a name inside an index, or in a call that sizes or places."""
    if statement.kind is not NodeKind.STATEMENT or statement.label in ("assert", "for"):
        return True
    text = graph.text(statement)
    if "nn." in text or any(used.search(inside) for inside in re.findall(r"(?<=[\w)\]])\[([^\[\]]*)\]", text)):
        return True
    inner = [graph.nodes[s] for s in graph.targets(statement.slot, EdgeKind.CONTAINS)]
    sized = [
        n
        for n in inner
        if (n.kind is NodeKind.CALL and n.label in _SIZED) or (n.kind is NodeKind.OPERATOR and n.label in _POSITIONS)
    ]
    return any(used.search(graph.text(node)) for node in sized)
