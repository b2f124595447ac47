"""What an expression is there for, read off its place: the name that it sets, and whether it is a value, an argument or an index."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graph.syntax import dotted, field_of, text_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from tree_sitter import Node as SyntaxNode

_OPERATORS = {
    "+": "add", "-": "sub", "*": "mul", "/": "div", "//": "floordiv", "%": "mod", "**": "pow", "@": "matmul", "&": "and_", "|": "or_",
    "^": "xor", "<<": "lshift", ">>": "rshift", "<": "lt", "<=": "le", ">": "gt", ">=": "ge", "==": "eq", "!=": "ne", "in": "in",
    "not in": "not_in", "is": "is", "is not": "is_not", "and": "and", "or": "or",
    "+=": "add", "-=": "sub", "*=": "mul", "/=": "div", "//=": "floordiv", "%=": "mod", "**=": "pow", "@=": "matmul",
}  # fmt: skip
OPERATOR_TYPES = frozenset({"binary_operator", "comparison_operator", "boolean_operator", "augmented_assignment"})
_LITERAL_TYPES = frozenset({"integer", "float", "true", "false", "string"})


def statement_label(syntax: SyntaxNode) -> str:
    """Name a statement by what it binds or calls, else by its keyword: `loss`, `backward`, `return`."""
    inner = syntax.named_children[0] if syntax.type == "expression_statement" and syntax.named_children else syntax
    if inner.type in ("assignment", "augmented_assignment"):
        left = field_of(inner, "left")
        return dotted(left).rpartition(".")[2] or "unpack"
    if inner.type == "call":
        return (
            dotted(field_of(inner, "function")).rpartition(".")[2]
            or text_of(field_of(inner, "function")).rpartition(".")[2]
            or "call"
        )
    return syntax.type.removesuffix("_statement").removesuffix("_clause")


def operator_label(syntax: SyntaxNode) -> str:
    """Name an operator as the operator module does: `add`, `lt`, `and`."""
    operator = syntax.child_by_field_name("operator") or next(iter(syntax.children_by_field_name("operators")), None)
    return _OPERATORS.get(" ".join(text_of(operator).split()) if operator is not None else "", "op")


def is_literal(syntax: SyntaxNode) -> bool:
    """Numbers with their minus sign, booleans, and plain strings that are no docstring."""
    if syntax.type == "unary_operator":
        argument = field_of(syntax, "argument")
        return argument.type in ("integer", "float") and syntax.children[0].type == "-"
    if syntax.type == "string":
        parent = syntax.parent
        plain = all(child.type in ("string_start", "string_content", "string_end") for child in syntax.children)
        return (
            plain
            and parent is not None
            and parent.type not in ("expression_statement", "concatenated_string", "block", "module")
        )
    return syntax.type in _LITERAL_TYPES


def role_of(syntax: SyntaxNode) -> tuple[str, str]:
    """Say what an expression is there for, and the name of what it sets: ("argument", "lr"), ("value", "n_embd"), ("index", "index")."""
    child, parent = syntax, syntax.parent
    while parent is not None and parent.type == "parenthesized_expression":
        child, parent = parent, parent.parent
    if parent is None:
        return "value", "value"
    if parent.type in _ROLES:
        return _ROLES[parent.type](parent, child)
    if parent.type in OPERATOR_TYPES or parent.type in ("unary_operator", "not_operator", "conditional_expression"):
        return "operand", role_of(parent)[1]
    if parent.type.endswith("_statement"):
        return "statement", parent.type.removesuffix("_statement")
    return "element", role_of(parent)[1] if parent.type in ("tuple", "list", "set") else "value"


def _positional_role(arguments: SyntaxNode, _child: SyntaxNode) -> tuple[str, str]:
    call = arguments.parent
    function = dotted(field_of(call, "function")) if call is not None and call.type == "call" else ""
    return "positional", function.rpartition(".")[2] or "argument"


def _assigned_role(assignment: SyntaxNode, child: SyntaxNode) -> tuple[str, str]:
    left = dotted(field_of(assignment, "left")).rpartition(".")[2] or "value"
    return ("type" if child == assignment.child_by_field_name("type") else "value"), left


_ROLES: dict[str, Callable[[SyntaxNode, SyntaxNode], tuple[str, str]]] = {
    "keyword_argument": lambda parent, _: ("argument", text_of(field_of(parent, "name"))),
    "default_parameter": lambda parent, _: ("default", text_of(field_of(parent, "name"))),
    "typed_default_parameter": lambda parent, _: ("default", text_of(field_of(parent, "name"))),
    "argument_list": _positional_role,
    "assignment": _assigned_role,
    "augmented_assignment": lambda parent, _: (
        "operand",
        dotted(field_of(parent, "left")).rpartition(".")[2] or "value",
    ),
    "subscript": lambda *_: ("index", "index"),
    "slice": lambda *_: ("index", "index"),
    "pair": lambda parent, child: ("key" if child == field_of(parent, "key") else "entry", "entry"),
    "type": lambda *_: ("type", "type"),
}
