"""Names that sources give as strings: options of a command line, keys of a dictionary, attributes that `register_buffer` sets.

Only what the syntax alone says: whether the receiver is a parser or a module is for the resolver to find out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from graph.syntax import dotted, field_of, parts, text_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tree_sitter import Node as SyntaxNode

REGISTERING = frozenset({"add_module", "register_module", "register_parameter", "register_buffer"})
_PLAIN = frozenset({"integer", "float", "true", "false", "none"})
_COMPOUND = frozenset(
    {"unary_operator", "binary_operator", "list", "tuple", "parenthesized_expression", "concatenated_string"}
)


def option_name(call: SyntaxNode) -> str:
    """Return the option that a call of `add_argument` declares; empty for any other call."""
    if not text_of(field_of(call, "function")).endswith(".add_argument"):
        return ""
    given = parts(field_of(call, "arguments"))
    named = {text_of(field_of(a, "name")): field_of(a, "value") for a in given if a.type == "keyword_argument"}
    flags = [name for argument in given if (name := _string(argument))]
    return _destination(flags) if "dest" not in named else _string(named["dest"])


def attribute_name(call: SyntaxNode) -> str:
    """Return the attribute that a call sets by a literal name: `self.register_buffer("mask", x)`, `setattr(self, "mask", x)`."""
    function, arguments = dotted(field_of(call, "function")), field_of(call, "arguments")
    given = parts(arguments) if arguments.type == "argument_list" else []
    if function == "setattr" and given and dotted(given[0]) == "self":
        given = given[1:]
    elif not (function.startswith("self.") and function.removeprefix("self.") in REGISTERING):
        return ""
    return _string(given[0]) if len(given) > 1 else ""


def stated_keys(syntax: SyntaxNode) -> Iterator[tuple[str, SyntaxNode]]:
    """Walk the keys of a dictionary, nested ones too, whose values are literals: (key, its pair)."""
    if syntax.type == "dictionary":
        for pair in (child for child in syntax.named_children if child.type == "pair"):
            name, held = _string(field_of(pair, "key")), field_of(pair, "value")
            if name and _stated(held):
                yield name, pair
            yield from stated_keys(held)
    elif syntax.type == "call" and dotted(field_of(syntax, "function")) == "dict":
        for pair in (c for c in field_of(syntax, "arguments").named_children if c.type == "keyword_argument"):
            if _stated(field_of(pair, "value")):
                yield text_of(field_of(pair, "name")), pair
            yield from stated_keys(field_of(pair, "value"))


def _destination(flags: Sequence[str]) -> str:
    """Return the name under which argparse keeps an option without a `dest`: of its first long flag, else of its first one."""
    first = flags[0] if flags else ""
    if not first.startswith("-"):
        return first
    return next((flag for flag in flags if flag.startswith("--")), first).lstrip("-").replace("-", "_")


def _stated(syntax: SyntaxNode) -> bool:
    """Whether an expression is made of literals alone."""
    if syntax.type == "string":
        return not any(child.type == "interpolation" for child in syntax.children)
    return syntax.type in _PLAIN or (syntax.type in _COMPOUND and all(_stated(part) for part in parts(syntax)))


def _string(syntax: SyntaxNode) -> str:
    if syntax.type != "string" or not _stated(syntax):
        return ""
    return "".join(text_of(child) for child in syntax.children if child.type == "string_content")
