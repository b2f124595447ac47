"""extract-function: move a paragraph of a function into a function of its own."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING

from graph.code_graph import CodeGraph
from graph.model import Node, NodeKind
from graph.syntax import descend, text_of
from mutator.domain import Domain, choose
from mutator.edit import Scalar
from mutator.intents import DeleteStmt, InsertStmt, Intent, ReplaceExpr, Span
from mutator.kind import EditKind, Example, Family, Reason, Refusal
from mutator.layout import indent_unit, line_end, line_start, whole_statement
from mutator.numbers import off_the_path
from mutator.runs import Run, closed, paragraphs
from mutator.updates import computes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tree_sitter import Node as SyntaxNode

_KEYWORDS = frozenset(
    {"return", "pass", "import", "raise", "assert", "expression", "break", "continue", "elif", "else"}
)
_LONGEST, _MOST_INPUTS, _MOST_OUTPUTS, _MOST_LENGTHS = 8, 6, 3, 2
_PLAIN = """\
import torch


{before}def fit(xs, lr):
    total = 0.0

{body}

    return total * lr
"""
_BODY = "    for x in xs:\n        total += torch.sum(x)\n    total = total / len(xs)  # the mean"
_NET = """\
import torch
from torch import nn
class Attention(nn.Module):
    def forward(self, x):
        B, T, C = x.size()

{body}

        return self.proj(q @ k.mT)
{after}"""
_HEADS = "        q = torch.relu(self.q(x))  # (B, T, C)\n        # keys\n        k = self.k(x).view(B, T, C)"


class ExtractFunction(EditKind):
    """Move a run of statements, from the start of one paragraph to the end of another, into a function with computed inputs and outputs.

    Behaviour stays as it is. What it buys: code that stood once can be called twice, replaced or shared by later edits. Of a function it
    becomes a function before it; of a method a method behind it, or a function before the class where it does not read `self`.
    Comments go along. Source: kind 38 of the grammar; rope's extract-method. Not offered: runs that return, break, yield or delete, that
    write what an inner function reads, that take more than six names or give none or more than three; what computes no tensor; nested
    functions; modules.
    """

    name = "extract-function"
    family = Family.REFACTOR
    at = NodeKind.STATEMENT
    preserves = True
    examples = (
        Example(
            {"a.py": _PLAIN.format(before="", body=_BODY)},
            "extract-function@a:fit/stmt.for?statements=2",
            {
                "a.py": _PLAIN.format(
                    before=f"def compute_total(xs, total):\n{_BODY}\n    return total\n\n\n",
                    body="    total = compute_total(xs, total)",
                )
            },
        ),
        Example(
            {"a.py": _NET.format(body=_HEADS, after="")},
            "extract-function@a:Attention.forward/stmt.q?statements=2",
            {
                "a.py": _NET.format(
                    body="        q, k = self.compute_q_k(x, B, T, C)",
                    after=f"\n    def compute_q_k(self, x, B, T, C):\n{_HEADS}\n        return q, k\n",
                )
            },
        ),
        Example(
            {
                "a.py": "import torch\nclass A:\n    def f(self, x):\n        self.n = 1\n\n"
                "        y = torch.exp(x)\n        x = y + 1\n\n        return x * y\n"
            },
            "extract-function@a:A.f/stmt.y?statements=2",
            {
                "a.py": "import torch\ndef compute_y_x(x):\n    y = torch.exp(x)\n    x = y + 1\n    return y, x\n\n\n"
                "class A:\n    def f(self, x):\n        self.n = 1\n\n        y, x = compute_y_x(x)\n\n        return x * y\n"
            },
        ),
    )
    refusals = (
        Refusal(
            {"a.py": _PLAIN.format(before="", body=_BODY)},
            "extract-function@a:fit/stmt.for?statements=3",
            Reason.NO_CHOICE,
        ),
        Refusal(
            {"a.py": _PLAIN.format(before="", body=_BODY)},
            "extract-function@a:fit/stmt.total.1?statements=2",
            Reason.NO_SITE,
        ),
        Refusal(
            {
                "a.py": "import torch\ndef f(x):\n    g(x)\n\n    a = torch.exp(x)\n    if a > x:\n        return 1\n\n    return a\n"
            },
            "extract-function@a:f/stmt.a?statements=2",
            Reason.ORDER,
        ),
        Refusal(
            {
                "a.py": "import torch\ndef f(x):\n    g = lambda: a\n\n    a = torch.exp(x)\n    a = a + x\n\n    return g() + a\n"
            },
            "extract-function@a:f/stmt.a?statements=2",
            Reason.SHARED,
        ),
        Refusal(
            {
                "a.py": "import torch\ndef compute_a(): ...\ndef f(x):\n    g(x)\n\n    a = torch.exp(x)\n    a = a + x\n\n    return a\n"
            },
            "extract-function@a:f/stmt.a?statements=2",
            Reason.NAME_CLASH,
        ),
        Refusal(
            {"a.py": "def f(x):\n    g(x)\n\n    a = 2\n    a = a + x\n\n    return a\n"},
            "extract-function@a:f/stmt.a?statements=2",
            Reason.NO_EFFECT,
        ),
        Refusal(
            {"a.py": "a = 1\n\nb = 2\nc = b\n\nd = c\n"}, "extract-function@a:/stmt.b?statements=2", Reason.NO_SITE
        ),
    )

    def domain(self, graph: CodeGraph, site: Node) -> Domain | Reason:
        """How many statements, for every statement that starts a paragraph: as many as end one and can stand alone."""
        function = graph.nodes[site.scope]
        owner = graph.nodes.get(function.scope)
        if (
            site.label in _KEYWORDS
            or function.kind is not NodeKind.FUNCTION
            or owner is None
            or owner.kind is NodeKind.FUNCTION
        ):
            return Reason.NO_SITE
        off = off_the_path(graph, site)
        if off is not None:
            return off
        lengths: list[int] = []
        why = Reason.NO_SITE
        for statements in paragraphs(graph, site, _LONGEST):
            run = _extractable(graph, statements) if any(computes(graph, s) for s in statements) else Reason.NO_EFFECT
            if isinstance(run, Run):
                lengths.append(len(statements))
                if len(lengths) == _MOST_LENGTHS:
                    break
            elif why is Reason.NO_SITE:
                why = run
        return choose(statements=lengths) if lengths else why

    def plan(self, graph: CodeGraph, site: Node, choice: Mapping[str, Scalar]) -> tuple[Intent, ...]:
        """Insert the function, call it, take the statements out."""
        statements = next(p for p in paragraphs(graph, site, _LONGEST) if len(p) == choice["statements"])
        run = _extractable(graph, statements)
        if not isinstance(run, Run):
            return ()
        function = graph.nodes[site.scope]
        owner, name = graph.nodes[function.scope], _named(run)
        method = owner.kind is NodeKind.CLASS and "self" in run.inputs
        inputs = [n for n in run.inputs if n != "self"] if method else list(run.inputs)
        gives = ", ".join(run.outputs)
        call = f"{'self.' if method else ''}{name}({', '.join(inputs)})"
        head = f"def {name}({', '.join(['self', *inputs] if method else inputs)}):\n"
        definition = head + _body(graph, statements) + f"\n    return {gives}"
        anchor = owner if owner.kind is NodeKind.CLASS and not method else function
        placed = (
            InsertStmt(anchor, f"\n{definition}") if method else InsertStmt(anchor, f"{definition}\n\n", before=True)
        )
        return (
            placed,
            InsertStmt(statements[0], f"{gives} = {call}", before=True),
            *(DeleteStmt(s) for s in statements),
            *(ReplaceExpr(span, "") for span in _between(graph, statements)),
        )


def _extractable(graph: CodeGraph, statements: tuple[Node, ...]) -> Run | Reason:
    run = closed(graph, statements)
    if isinstance(run, Reason):
        return run
    function = graph.nodes[statements[0].scope]
    text = "".join(graph.snapshot.files[function.path][statements[0].start : _end(graph, statements[-1])].decode())
    if (
        len(run.inputs) > _MOST_INPUTS
        or not 1 <= len(run.outputs) <= _MOST_OUTPUTS
        or "jit" in _decorated(graph, function)
    ):
        return Reason.ARITY
    if "__class__" in text or re.search(
        r"(?<!\w)self\.__\w*[a-z0-9]\b(?!__)", text
    ):  # a private name means something else outside
        return Reason.SHARED
    taken = re.search(rf"\b{_named(run)}\b", graph.files[function.path].data.decode())
    return Reason.NAME_CLASH if taken or any("\n" in text_of(s) for s in _strings(graph, statements)) else run


def _named(run: Run) -> str:
    """Return a name after what the function gives."""
    return f"compute_{'_'.join(run.outputs)}".lower()


def _body(graph: CodeGraph, statements: tuple[Node, ...]) -> str:
    """Return the source of the run with its comments, indented by four spaces a level from one level on."""
    data = graph.snapshot.files[statements[0].path]
    start, end = line_start(data, statements[0].start), line_end(data, _end(graph, statements[-1]))
    indent, unit = data[start : statements[0].start].decode(), indent_unit(graph.files[statements[0].path])
    lines = []
    for line in data[start:end].decode().splitlines():
        inner = line.removeprefix(indent)
        bare = inner.lstrip(unit[0])
        levels, rest = divmod(len(inner) - len(bare), len(unit))
        lines.append(f"    {'    ' * levels}{' ' * rest}{bare}" if bare else "")
    return "\n".join(lines)


def _between(graph: CodeGraph, statements: tuple[Node, ...]) -> list[Span]:
    """Return the lines between the statements: comments, which the new function has, and blank lines."""
    data, path = graph.snapshot.files[statements[0].path], statements[0].path
    gaps = [(line_end(data, _end(graph, one)), line_start(data, two.start)) for one, two in pairwise(statements)]
    return [Span(path, start, end) for start, end in gaps if start < end]


def _end(graph: CodeGraph, statement: Node) -> int:
    return whole_statement(graph, statement).end_byte


def _strings(graph: CodeGraph, statements: tuple[Node, ...]) -> list[SyntaxNode]:
    return [n for s in statements for n in descend(whole_statement(graph, s)) if n.type == "string"]


def _decorated(graph: CodeGraph, function: Node) -> str:
    data, whole = graph.snapshot.files[function.path], whole_statement(graph, function)
    return data[whole.start_byte : whole.end_byte].decode().partition("def ")[0]


KIND = ExtractFunction()
