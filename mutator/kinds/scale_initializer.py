"""scale-initializer: start one weight smaller or larger, where its scale is an expression that others may share."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from graph.arguments import Argument, read_call
from graph.code_graph import CodeGraph
from graph.model import Node, NodeKind
from mutator.callees import argument_of, runs_only
from mutator.domain import Between, Domain, choose
from mutator.edit import Scalar
from mutator.expected import fill
from mutator.intents import Intent, ReplaceExpr, Span
from mutator.kind import EditKind, Example, Family, Reason, Refusal, Refused
from mutator.numbers import is_int, is_number, value_of, written

if TYPE_CHECKING:
    from collections.abc import Mapping

_FACTORS = Between(0.01, 100.0, (0.25, 0.5, 2.0, 4.0))
_INIT = "torch.nn.init"
_SCALES = {  # the arguments that hold a scale, and where they stand after the tensor
    "uniform_": (("a", 0), ("b", 1)),
    "normal_": (("std", 1),),
    "trunc_normal_": (("std", 1), ("a", 2), ("b", 3)),
    "xavier_uniform_": (("gain", 0),),
    "xavier_normal_": (("gain", 0),),
    "orthogonal_": (("gain", 0),),
}
_METHODS = {"uniform_": (("from", 0), ("to", 1)), "normal_": _SCALES["normal_"]}
_PARAMETER = re.compile(r"\.(weight|bias|data)$")
_GPT = """\
import torch
from torch import nn
class GPT(nn.Module):
    def init_weights(self):
        s = 3**0.5 * self.config.n_embd**-0.5
        for block in self.transformer.h:
            torch.nn.init.uniform_(block.attn.c_q.weight, -s, s)
            torch.nn.init.uniform_(block.mlp.c_fc.weight, {bounds})  # wider than the queries
            torch.nn.init.zeros_(block.mlp.c_proj.weight)
"""
_LINEAR = """\
from torch import nn
class Feed(nn.Module):
    def init_weights(self, init_std: float, layer: int):
        nn.init.{init}
"""


class ScaleInitializer(EditKind):
    """Multiply the scale that one weight starts from: the bounds of a uniform draw, a standard deviation with its cuts, a gain.

    Why: several weights often share one `s`; nanochat won by drawing the first layer of the MLP, and that alone, at half (and later 0.4)
    of it. Source: nanochat, "autoresearch round 1"; width and depth rules as in muP (arXiv:2203.03466).
    Any factor between the ends is accepted. Not offered: where one number is the scale or a factor of it (scale-literal turns that),
    tensors that are no parameters, and what a star brings.
    """

    name = "scale-initializer"
    family = Family.CALL
    at = NodeKind.CALL
    examples = (
        Example(
            {"a.py": _GPT.format(bounds="-s, s")},
            "scale-initializer@a:GPT.init_weights/call.uniform_.1?by=0.5",
            {"a.py": _GPT.format(bounds="-0.5 * s, 0.5 * s")},
        ),
        Example(
            {"a.py": _GPT.format(bounds="-s * 0.4, s * 0.4")},
            "scale-initializer@a:GPT.init_weights/call.uniform_.1?by=2.0",
            {"a.py": _GPT.format(bounds="-s * 0.8, s * 0.8")},
        ),
        Example(
            {"a.py": _LINEAR.format(init="trunc_normal_(self.wo.weight, mean=0.0, std=init_std)")},
            "scale-initializer@a:Feed.init_weights/call.trunc_normal_?by=0.5",
            {"a.py": _LINEAR.format(init="trunc_normal_(self.wo.weight, mean=0.0, std=0.5 * init_std)")},
        ),
        Example(
            {"a.py": _LINEAR.format(init="normal_(self.wo.weight, 0.0, init_std if layer else init_std / 2)")},
            "scale-initializer@a:Feed.init_weights/call.normal_?by=0.25",
            {"a.py": _LINEAR.format(init="normal_(self.wo.weight, 0.0, 0.25 * (init_std if layer else init_std / 2))")},
        ),
        Example(
            {"a.py": "import torch.nn as nn\nnn.init.uniform_(encoder.weight, -0.1, 0.1)\n"},
            "scale-initializer@a:/call.uniform_?by=0.5",
            {"a.py": "import torch.nn as nn\nnn.init.uniform_(encoder.weight, -0.05, 0.05)\n"},
        ),
        Example(
            {"a.py": "def init(m, s):\n    m.weight.data.normal_(mean=0.0, std=s**0.5)\n"},
            "scale-initializer@a:init/call.normal_?by=2.0",
            {"a.py": "def init(m, s):\n    m.weight.data.normal_(mean=0.0, std=2.0 * s**0.5)\n"},
        ),
    )
    refusals = (
        Refusal(
            {"a.py": _GPT.format(bounds="0.0, 0.02")},
            "scale-initializer@a:GPT.init_weights/call.uniform_.1?by=0.5",
            Reason.ALREADY,
        ),
        Refusal(
            {"a.py": _LINEAR.format(init="normal_(self.wo.weight, std=0.02 / layer**0.5)")},
            "scale-initializer@a:Feed.init_weights/call.normal_?by=0.5",
            Reason.ALREADY,
        ),
        Refusal(
            {"a.py": _LINEAR.format(init="normal_(self.wo.weight, **init_std)")},
            "scale-initializer@a:Feed.init_weights/call.normal_?by=0.5",
            Reason.UNKNOWN_VALUE,
        ),
        Refusal(
            {"a.py": _GPT.format(bounds="-s, s")},
            "scale-initializer@a:GPT.init_weights/call.uniform_.1?by=1.0",
            Reason.NO_EFFECT,
        ),
        Refusal(
            {"a.py": "def noise(x, s):\n    return x.clone().normal_(0.0, s)\n"},
            "scale-initializer@a:noise/call.normal_?by=0.5",
            Reason.NO_SITE,
        ),
    )

    def domain(self, graph: CodeGraph, site: Node) -> Domain | Reason:
        """Factors, at every initialiser whose scale no single number sets."""
        if site.label not in _SCALES:
            return Reason.NO_SITE
        found = _scales(graph, site)
        return found if isinstance(found, Reason) else choose(by=_FACTORS)

    def plan(self, graph: CodeGraph, site: Node, choice: Mapping[str, Scalar]) -> tuple[Intent, ...]:
        """Write the factor into every argument that holds the scale.

        Raises: Refused: the factor is 1.
        """
        found, by = _scales(graph, site), float(choice["by"])
        if by == 1.0:
            raise Refused(Reason.NO_EFFECT, f"{site.slot}: times 1 is what is there")
        if isinstance(found, Reason):
            return ()
        return tuple(ReplaceExpr(Span(site.path, a.value_start, a.end), _scaled(a.value, by)) for a in found)


def _scales(graph: CodeGraph, call: Node) -> tuple[Argument, ...] | Reason:
    """Return the arguments that hold the scale, zeros left out; or why nothing is to be scaled here."""
    read, path = read_call(graph, call), runs_only(graph, call)
    receiver = read.function.rpartition(".")[0]
    method = path in ("", f"torch.Tensor.{call.label}") and _PARAMETER.search(receiver) is not None
    if not method and path != f"{_INIT}.{call.label}":
        return Reason.NO_SITE
    if read.starred:
        return Reason.UNKNOWN_VALUE
    names = _METHODS.get(call.label, ()) if method else _SCALES[call.label]
    given = [argument_of(graph, call, name, place if method else place + 1) for name, place in names]
    found = tuple(a for a in given if a is not None and not (_is_plain(a.value) and not value_of(a.value)))
    if not found:
        return Reason.NO_SITE
    return Reason.ALREADY if len(found) == 1 and _number_in(found[0].value) else found


def _scaled(text: str, by: float) -> str:
    """Return a product as its author would write it: in its number where it has one, else with the factor in front."""
    number = _number_in(text)
    if number is not None:
        start, old = number
        return f"{text[:start]}{written(value_of(old) * by, 'e' if 'e' in old.lower() else '1.0')}{text[start + len(old) :]}"
    tree = ast.parse(f"({text})", mode="eval").body
    if isinstance(tree, ast.UnaryOp) and isinstance(tree.op, ast.USub):
        return fill(f"-{by!r} * {{x}}", x=text.strip().removeprefix("-").strip())
    return fill(f"{by!r} * {{x}}", x=text)


def _number_in(text: str) -> tuple[int, str] | None:
    """Return the number that a scale is, or is a multiple of, with its offset; whole factors such as the 2 of `2 * s` do not count."""
    tree: ast.expr = ast.parse(f"({text})", mode="eval").body
    whole = tree.operand if isinstance(tree, ast.UnaryOp) else tree
    numbers = [n for n in _factors(tree) if isinstance(n, ast.Constant) and n.lineno == 1]
    for number in numbers if text.isascii() else ():
        old = text[number.col_offset - 1 : (number.end_col_offset or 0) - 1]
        if is_number(old) and (number is whole or not is_int(old)):
            return number.col_offset - 1, old
    return None


def _factors(tree: ast.expr) -> tuple[ast.expr, ...]:
    """Return the factors of a product, those divided by left out."""
    match tree:
        case ast.UnaryOp(op=ast.USub(), operand=inner) | ast.BinOp(left=inner, op=ast.Div()):
            return _factors(inner)
        case ast.BinOp(left=left, op=ast.Mult(), right=right):
            return (*_factors(left), *_factors(right))
    return (tree,)


def _is_plain(text: str) -> bool:
    return is_number(text.replace(" ", ""))


KIND = ScaleInitializer()
