"""move-norm: normalise what goes into a residual sublayer, or the sum that comes out of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graph.code_graph import CodeGraph
from graph.model import Node, NodeKind
from graph.syntax import field_of, parts, text_of
from mutator.domain import Domain, choose
from mutator.edit import Scalar
from mutator.facts import calls_in, forward_of_module
from mutator.intents import Intent, ReplaceExpr, Span
from mutator.kind import EditKind, Example, Family, Reason, Refusal
from mutator.tensors import NO_VALUE, assigned, branch_of, call_at, is_norm, is_sublayer, span_text, within_text

if TYPE_CHECKING:
    from collections.abc import Mapping

_BLOCK = """\
import torch.nn.functional as F
from torch import nn
def norm(x):
    return F.rms_norm(x, (x.size(-1),))
class Attention(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.proj = nn.Linear(n, n)
    def forward(self, x, mask=None):
        return self.proj(x)
class Block(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.ln_1 = nn.LayerNorm(n)
        self.attn = Attention(n)
    def forward(self, x, mask):
        {update}
        return x
"""
_SITE = "move-norm@a:Block.forward/stmt.x?to="


class MoveNorm(EditKind):
    """Move the norm of a residual sublayer: pre-norm `x + f(norm(x))`, post-norm `norm(x + f(x))`, or on the branch `x + norm(f(x))`.

    Why: pre-norm trains without warm-up, post-norm often ends lower when it trains at all; the original transformer is post-norm, and
    OLMo 2 normalises the branch. Source: Xiong et al. 2020 (arXiv:2002.04745), Team OLMo 2024 (arXiv:2501.00656). The same module is
    called elsewhere, so no weight is new. Not offered where the sublayer is normalised twice, or its input is used beside the norm.
    """

    name = "move-norm"
    family = Family.BLOCK
    at = NodeKind.STATEMENT
    examples = (
        Example(
            {"a.py": _BLOCK.format(update="x = x + self.attn(self.ln_1(x), mask)  # (B, T, C)")},
            f"{_SITE}post",
            {"a.py": _BLOCK.format(update="x = self.ln_1(x + self.attn(x, mask))  # (B, T, C)")},
        ),
        Example(
            {"a.py": _BLOCK.format(update="x = x + 0.5 * self.attn(norm(x), mask)")},
            f"{_SITE}branch",
            {"a.py": _BLOCK.format(update="x = x + norm(0.5 * self.attn(x, mask))")},
        ),
        Example(
            {"a.py": _BLOCK.format(update="x = self.ln_1(x + self.attn(x, mask))")},
            f"{_SITE}pre",
            {"a.py": _BLOCK.format(update="x = x + self.attn(self.ln_1(x), mask)")},
        ),
    )
    refusals = (
        Refusal({"a.py": _BLOCK.format(update="x = x + self.attn(x, mask)")}, f"{_SITE}post", Reason.NO_SITE),
        Refusal({"a.py": _BLOCK.format(update="x = x + self.attn(self.ln_1(x), x)")}, f"{_SITE}post", Reason.UNKNOWN_VALUE),
        Refusal({"a.py": _BLOCK.format(update="x = x + self.attn(self.ln_1(x), mask)")}, f"{_SITE}pre", Reason.NO_CHOICE),
        Refusal({"a.py": _BLOCK.format(update="x += self.attn(self.ln_1(x), mask)")}, f"{_SITE}post", Reason.NO_SITE),
    )  # fmt: skip

    def domain(self, graph: CodeGraph, site: Node) -> Domain | Reason:
        """Where else to normalise, at a plain assignment of a sum that a residual sublayer and one normalisation make."""
        if site.label in NO_VALUE or not forward_of_module(graph, site) or assigned(graph, site) is None:
            return Reason.NO_SITE
        if _post(graph, site) is not None:
            return choose(to=["pre", "branch"])
        branch = branch_of(graph, site)
        if branch is None or branch.norm is None:
            return Reason.NO_SITE
        # Of the stream the branch may use what the norm is given and no more.
        rest = within_text(graph, branch.place, branch.norm, "")
        return choose(to=["post", "branch"]) if not _uses(rest, branch.stream) else Reason.UNKNOWN_VALUE

    def plan(self, graph: CodeGraph, site: Node, choice: Mapping[str, Scalar]) -> tuple[Intent, ...]:
        """Write the sum anew, with the norm where it was chosen."""
        value, x = assigned(graph, site), site.label
        if value is None:  # the domain said that there is one
            return ()
        after, branch = _post(graph, site), branch_of(graph, site)
        if after is not None:
            norm, added, call = after
            inner = within_text(graph, added, call, _given(graph, call, x, f"{norm}({x})"))
            texts = {"pre": f"{x} + {inner}", "branch": f"{x} + {norm}({span_text(graph, added)})"}
        elif branch is not None and branch.norm is not None:
            norm = graph.text(branch.norm).removesuffix(f"({x})")
            bare = within_text(graph, branch.place, branch.norm, x)
            texts = {"post": f"{norm}({x} + {bare})", "branch": f"{x} + {norm}({bare})"}
        else:
            return ()
        place = Span(site.path, value.start_byte, value.end_byte)
        return (ReplaceExpr(place, texts[str(choice["to"])]),)


def _post(graph: CodeGraph, statement: Node) -> tuple[str, Span, Node] | None:
    """Return the norm, the branch and its sublayer of `x = norm(x + branch)`; None when a statement is something else."""
    call = call_at(graph, statement, assigned(graph, statement))
    if call is None or not is_norm(graph, call):
        return None
    syntax = graph.syntax(call)
    given = parts(field_of(syntax, "arguments"))
    if len(given) != 1 or given[0].type != "binary_operator" or text_of(field_of(given[0], "operator")) != "+":
        return None
    left, right = field_of(given[0], "left"), field_of(given[0], "right")
    if text_of(left) != statement.label:
        return None
    inside = [c for c in calls_in(graph, statement) if right.start_byte <= c.start and c.end <= right.end_byte]
    sublayer = next((c for c in inside if is_sublayer(graph, c)), None)
    if sublayer is None or not _given(graph, sublayer, statement.label, "norm"):
        return None
    return text_of(field_of(syntax, "function")), Span(statement.path, right.start_byte, right.end_byte), sublayer


def _given(graph: CodeGraph, call: Node, x: str, text: str) -> str:
    """Return a call with a text in the place of its first argument; empty when that is not the name, or it is given twice."""
    syntax = graph.syntax(call)
    given = parts(field_of(syntax, "arguments"))
    if not given or text_of(given[0]) != x or any(_uses(text_of(a), x) for a in given[1:]):
        return ""
    start, source = given[0].start_byte - call.start, graph.text(call).encode()
    return (source[:start] + text.encode() + source[start + len(x.encode()) :]).decode()


def _uses(text: str, name: str) -> bool:
    return name in "".join(c if c.isalnum() or c == "_" else " " for c in text).split()


KIND = MoveNorm()
