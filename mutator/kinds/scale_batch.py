"""scale-batch: take more or fewer examples to an update."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from graph.code_graph import CodeGraph
from graph.model import Node, NodeKind
from graph.syntax import field_of, text_of
from mutator.domain import Domain, choose
from mutator.edit import Scalar
from mutator.groups import broken_assertions, sibling, stated_as, value, written_like
from mutator.intents import Intent
from mutator.kind import EditKind, Example, Family, Reason, Refusal
from mutator.numbers import name_of, off_the_path

if TYPE_CHECKING:
    from collections.abc import Mapping

_BATCH = re.compile(
    r"^((device|micro|mini|local|total|global|train(ing)?|per_device(_train)?)_?)*(batch_?size|batch)(_tokens)?$|^bs$"
)
_ACCUMULATION = re.compile(r"^(grad(ient)?_?)?accum(ulation)?(_?(steps|iters?))?$")
_AUTORESEARCH = """\
SEQ_LEN = 2048
TOTAL_BATCH_SIZE = {total}  # tokens per optimizer step
DEVICE_BATCH_SIZE = {device}
tokens_per_pass = DEVICE_BATCH_SIZE * SEQ_LEN
assert TOTAL_BATCH_SIZE % tokens_per_pass == 0
grad_accum_steps = TOTAL_BATCH_SIZE // tokens_per_pass
"""
_NANOGPT = "gradient_accumulation_steps = {a}  # to simulate larger batches\nbatch_size = {b}\nblock_size = 1024\n"
_CONFIG = "from dataclasses import dataclass\n@dataclass\nclass TrainConfig:\n    batch_size: int = {}\n    lr: float = 8e-3\n"


class ScaleBatch(EditKind):
    """Halve or double a batch; `keep` divides the accumulation that is stated next to it, so that an update sees as many examples.

    Why: how large a batch still pays depends on the noise of the gradients, not on habit. Source: McCandlish et al. 2018
    (arXiv:1812.06162). A total that is computed into accumulation steps adapts by itself, and its asserts hold; a power such as
    `2**19` changes in its exponent. Not offered: batches of an evaluation or test.
    """

    name = "scale-batch"
    family = Family.BLOCK
    at = NodeKind.LITERAL
    examples = (
        Example(
            {"a.py": _AUTORESEARCH.format(total="2**19", device=128)},
            "scale-batch@a:/literal.TOTAL_BATCH_SIZE.1?by=0.5&keep=no",
            {"a.py": _AUTORESEARCH.format(total="2**18", device=128)},
        ),
        Example(
            {"a.py": _AUTORESEARCH.format(total="2**19", device=128)},
            "scale-batch@a:/literal.DEVICE_BATCH_SIZE?by=2.0&keep=no",
            {"a.py": _AUTORESEARCH.format(total="2**19", device=256)},
        ),
        Example(
            {"a.py": _NANOGPT.format(a=8, b=12)},
            "scale-batch@a:/literal.batch_size?by=2.0&keep=yes",
            {"a.py": _NANOGPT.format(a=4, b=24)},
        ),
        Example(
            {"a.py": _CONFIG.format(10)},
            "scale-batch@a:TrainConfig/literal.batch_size?by=2.0&keep=no",
            {"a.py": _CONFIG.format(20)},
        ),
    )
    refusals = (
        Refusal(
            {"a.py": "eval_batch_size = 10\n"},
            "scale-batch@a:/literal.eval_batch_size?by=2.0&keep=no",
            Reason.PROTECTED,
        ),
        Refusal({"a.py": "batch_size = 1\n"}, "scale-batch@a:/literal.batch_size?by=0.5&keep=no", Reason.NO_CHOICE),
        Refusal(
            {"a.py": _CONFIG.format(10)},
            "scale-batch@a:TrainConfig/literal.batch_size?by=2.0&keep=yes",
            Reason.NO_CHOICE,
        ),
        Refusal(
            {"a.py": "batch_size = 8\nassert batch_size == 8\n"},
            "scale-batch@a:/literal.batch_size?by=2.0&keep=no",
            Reason.ASSERTION,
        ),
        Refusal(
            {"a.py": _AUTORESEARCH.format(total="2**18", device=128)},
            "scale-batch@a:/literal.TOTAL_BATCH_SIZE.1?by=0.5&keep=no",
            Reason.NO_CHOICE,
        ),
        Refusal({"a.py": _CONFIG.format(10)}, "scale-batch@a:TrainConfig/literal.lr?by=2.0&keep=no", Reason.NO_SITE),
    )

    def domain(self, graph: CodeGraph, site: Node) -> Domain | Reason:
        """Half or twice, with or without the accumulation."""
        power = _is_exponent(graph, site)
        name = name_of(graph, site).lower() if power else stated_as(graph, site)
        if not name or not _BATCH.search(name):
            return Reason.PROTECTED if re.search(r"(eval|test|val\w*)_batch", name) else Reason.NO_SITE
        reason = off_the_path(graph, site)
        if reason is not None:
            return reason
        accumulation = None if power else sibling(graph, site, _ACCUMULATION)
        keeps = ("no",) if accumulation is None else ("no", "yes")
        factors = tuple(by for by in (0.5, 2.0) if _changes(graph, site, by, keep="no"))
        if not factors:
            return Reason.ASSERTION
        return choose(
            by=factors, keep=[k for k in keeps if k == "no" or all(_changes(graph, site, by, keep=k) for by in factors)]
        )

    def plan(self, graph: CodeGraph, site: Node, choice: Mapping[str, Scalar]) -> tuple[Intent, ...]:
        """Write the batch, and the accumulation where it goes along."""
        changes = _changes(graph, site, float(choice["by"]), keep=str(choice["keep"]))
        return tuple(written_like(graph, node, new) for node, new in changes.items())


def _is_exponent(graph: CodeGraph, site: Node) -> bool:
    """Whether a literal is the exponent of a power of two: `2**19`."""
    outer = graph.syntax(site).parent if site.role == "operand" else None
    if outer is None or outer.type != "binary_operator" or text_of(field_of(outer, "operator")) != "**":
        return False
    return text_of(field_of(outer, "left")) == "2" and field_of(outer, "right") == graph.syntax(site)


def _changes(graph: CodeGraph, site: Node, by: float, *, keep: str) -> dict[Node, int]:
    """Return the new value of each literal; none where one is no whole number or an assert fails."""
    old = value(graph, site)
    exact = old + (1 if by > 1 else -1) if _is_exponent(graph, site) else old * by
    changes: dict[Node, float] = {site: exact}
    accumulation = sibling(graph, site, _ACCUMULATION) if keep == "yes" else None
    if accumulation is not None:
        changes[accumulation] = value(graph, accumulation) / by
    if any(new < 1 or new != int(new) for new in changes.values()):
        return {}
    whole = {node: int(new) for node, new in changes.items()}
    return {} if whole == {site: old} or broken_assertions(graph, whole) else whole


KIND = ScaleBatch()
