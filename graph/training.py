"""What trains what: the parts that call sites play in a training step, the contexts that they run in, what an optimizer moves.

A part is known by what a site runs, never by its name: a loss of ours is what is sent backward, a model is a torch module that is
called outside of the modules themselves. What a called function does in turn is the part of the sites inside it. Contexts are those
that the text of a function puts around a site; a caller's are not inherited.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from graph.model import Confidence, Edge, EdgeKind, NodeKind
from graph.modules import is_layer
from graph.solution import Solution
from graph.values import Tag

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from graph.facts import CallSite, NameUse
    from graph.values import Value

    Contexts = Mapping[str, tuple[str, ...]]

_NO_GRADIENT = frozenset({"no_grad", "inference_mode"})
_CONTEXTS = _NO_GRADIENT | {"autocast", "enable_grad", "set_grad_enabled"}
_DEVICES = frozenset({"torch.device", "torch.cuda.device"})
_LOSSES = frozenset(
    {"binary_cross_entropy", "binary_cross_entropy_with_logits", "cosine_embedding_loss", "cross_entropy", "ctc_loss",
     "gaussian_nll_loss", "hinge_embedding_loss", "huber_loss", "kl_div", "l1_loss", "linear_cross_entropy", "margin_ranking_loss",
     "mse_loss", "multi_margin_loss", "multilabel_margin_loss", "multilabel_soft_margin_loss", "nll_loss", "poisson_nll_loss",
     "smooth_l1_loss", "soft_margin_loss", "triplet_margin_loss", "triplet_margin_with_distance_loss"}
)  # fmt: skip
_STEPS = {
    "training_step": "forward",
    "validation_step": "evaluation",
    "test_step": "evaluation",
}  # of a module that trains itself


def training_edges(solution: Solution) -> Iterator[Edge]:
    """Walk the contexts, parts and optimizers of the call sites of a file."""
    contexts = dict(_contexts(solution))
    for site, found in contexts.items():
        yield from (Edge(site, name, EdgeKind.UNDER, Confidence.INFERRED) for name in found)
    for site, roles in _Roles(solution, contexts).read().items():
        yield from (Edge(site, f"role:{role}", EdgeKind.PLAYS, Confidence.INFERRED) for role in roles)
    for call in solution.file.facts.sites:
        if any(_is_optimizer(solution, run) for run in solution.runs(call.site)):
            yield from (
                Edge(call.site, name, EdgeKind.OPTIMIZES, Confidence.INFERRED) for name in _optimized(solution, call)
            )


# --- contexts ---------------------------------------------------------------------------------------------------------------------


def _contexts(solution: Solution) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Walk the sites that run in a context, with the contexts, the innermost first."""
    given = _given_contexts(solution)
    for site in solution.file.facts.sites if given else ():
        found = tuple(dict.fromkeys(name for slot in _around(solution, site.site) for name in given.get(slot, ())))
        if found:
            yield site.site, found


def _given_contexts(solution: Solution) -> Contexts:
    """Return what each `with` statement and each decorated function puts around what it holds."""
    facts = solution.file.facts
    cells = [(cell, slot) for slot, found in facts.contexts.items() for cell in found] + list(facts.decorators)
    given: dict[str, tuple[str, ...]] = {}
    for cell, slot in cells:
        names = [v.name for v in solution.values(cell) if v.tag in (Tag.MADE, Tag.EXTERNAL) and _is_context(v.name)]
        if names:
            given[slot] = (*given.get(slot, ()), *names)
    return given


def _is_context(path: str) -> bool:
    return path.rpartition(".")[2] in _CONTEXTS or path in _DEVICES


def _around(solution: Solution, site: str) -> Iterator[str]:
    """Walk the statements that enclose the statement of a site, and the function that runs it."""
    inside = False
    for slot in solution.enclosing(site):
        kind = solution.file.by_slot[slot].kind
        if kind in (NodeKind.FUNCTION, NodeKind.LAMBDA):
            yield slot
            return
        if kind is NodeKind.STATEMENT:
            if inside:
                yield slot
            inside = True


# --- parts ------------------------------------------------------------------------------------------------------------------------


class _Roles:
    """The parts of the sites of one file."""

    def __init__(self, solution: Solution, contexts: Contexts) -> None:
        self.solution, self.contexts = solution, contexts
        self.roles: dict[str, dict[str, None]] = {}

    def read(self) -> Mapping[str, Iterable[str]]:
        """Return the parts by site."""
        for site in self.solution.file.facts.sites:
            for run in self.solution.runs(site.site):
                role = self._external(run.name, site.site) if ":" not in run.name else self._ours(run, site.site)
                if role:
                    self.roles.setdefault(site.site, {})[role] = None
        sent = [site.site for site in self.solution.file.facts.sites if "backward" in self.roles.get(site.site, ())]
        for found in _Losses(self.solution, self.roles).sent_backward(sent):
            self.roles[found] = {**self.roles.get(found, {}), "loss": None}
            self.roles[found].pop("forward", None)
        return self.roles

    def _external(self, path: str, site: str) -> str:
        owner, _, last = path.rpartition(".")
        if last in ("backward", "zero_grad"):
            return last
        if last == "step":
            schedules = "lr_scheduler" in owner or owner.startswith("transformers.get_")
            return "schedule" if schedules else "step" if "optim" in owner or owner.endswith("GradScaler") else ""
        if last.startswith(("clip_grad", "clip_gradients")):
            return "clip"
        if (owner == "torch.nn.functional" and last in _LOSSES) or (last == "__call__" and owner.endswith("Loss")):
            return "loss"
        return self._model(site) if last == "__call__" and is_layer(owner) else ""

    def _ours(self, run: Value, site: str) -> str:
        function, node = self.solution.tables.functions.get(run.name), run.name.rpartition(".")[2]
        if function is None or not function.owner:
            return ""
        bases = self._bases(function.owner)
        if node in ("step", "zero_grad") and any(base.startswith("torch.optim.") for base in bases):
            return "schedule" if any("lr_scheduler" in base for base in bases) else node
        if node == "forward" and self.solution.is_module(function.owner):
            return "loss" if any(base.endswith("Loss") for base in bases) else self._model(site)
        return ""

    def _bases(self, slot: str) -> tuple[str, ...]:
        self.solution.consulted.update(self.solution.tables.lineage(slot))
        return self.solution.tables.external_bases(slot)

    def _model(self, site: str) -> str:
        """Say what running a model is: layers that run inside of a module play no part of their own."""
        nodes, step = self.solution.file.by_slot, ""
        for slot in self.solution.enclosing(site):
            if nodes[slot].kind is NodeKind.CLASS and self.solution.is_module(slot):
                return _STEPS.get(step, "")
            step = nodes[slot].label if nodes[slot].kind is NodeKind.FUNCTION else step
        quiet = any(name.rpartition(".")[2] in _NO_GRADIENT for name in self.contexts.get(site, ()))
        return "evaluation" if quiet else "forward"


class _Losses:
    """Which calls of ours give what is sent backward."""

    def __init__(self, solution: Solution, roles: Mapping[str, Iterable[str]]) -> None:
        self.solution, self.facts, self.roles = solution, solution.file.facts, roles
        self.read: dict[str, list[NameUse]] = {}  # statement -> the names that it reads
        self.written: dict[str, set[str]] = {}

    def sent_backward(self, sites: Iterable[str]) -> Iterator[str]:
        """Walk the sites whose result reaches a call of backward, back through assignments and arithmetic."""
        pending = [self.solution.statement(site) for site in sites]
        if pending:
            self._index()
        seen = set(pending)
        while pending:
            for statement in self._binders(pending.pop()):
                calls = self.statements.get(statement, ())
                yield from (call for call in calls if self._outermost(call) and self._computes_a_loss(call, statement))
                if statement not in seen and not calls:
                    pending.append(statement)
                seen.add(statement)

    def _index(self) -> None:
        self.statements: dict[str, list[str]] = {}
        for site in self.facts.sites:
            self.statements.setdefault(self.solution.statement(site.site), []).append(site.site)
        for use in self.facts.uses:
            if use.writes:
                self.written.setdefault(use.statement, set()).add(use.name)
            else:
                self.read.setdefault(use.statement, []).append(use)

    def _binders(self, statement: str) -> Iterator[str]:
        """Walk the statements that bind the names which a statement reads; `loss = loss / n` goes on with the loss alone."""
        uses, written = self.read.get(statement, []), self.written.get(statement, set())
        again = [use for use in uses if use.name in written]
        pending, seen = [cell for use in again or uses for cell in use.definitions], set[str]()
        while pending:
            cell = pending.pop()
            if cell not in seen:
                seen.add(cell)
                if cell in self.facts.definitions:
                    yield self.facts.definitions[cell]
                pending.extend(self.facts.joins.get(cell, ()))

    def _outermost(self, call: str) -> bool:
        """Whether the value of a statement is what a call gives, up to arithmetic."""
        nodes = self.solution.file.by_slot
        kinds = (nodes[slot].kind for slot in self.solution.enclosing(call))
        return next((kind for kind in kinds if kind is not NodeKind.OPERATOR), None) is NodeKind.STATEMENT

    def _computes_a_loss(self, call: str, statement: str) -> bool:
        """A function of ours does; a module does when it is given what a model gave."""
        ours = any(run.name in self.solution.tables.functions for run in self.solution.runs(call))
        if not ours or "forward" not in self.roles.get(call, ()):
            return ours
        inner = [c for c in self.statements.get(statement, ()) if c != call]
        before = (
            c for binder in self._binders(statement) if binder != statement for c in self.statements.get(binder, ())
        )
        return any("forward" in self.roles.get(c, ()) for c in (*inner, *before))


# --- optimizers -------------------------------------------------------------------------------------------------------------------


def _is_optimizer(solution: Solution, run: Value) -> bool:
    if ":" in run.name:
        solution.consulted.add(run.name)
        made = run.name in solution.tables.classes
        return made and any(
            b.startswith("torch.optim.") and "lr_scheduler" not in b for b in solution.tables.external_bases(run.name)
        )
    return "optim" in run.name and "lr_scheduler" not in run.name and run.name.rpartition(".")[2][:1].isupper()


def _optimized(solution: Solution, call: CallSite) -> list[str]:
    found = (held for a in call.arguments for held in solution.contents(a.cell) if held.tag is Tag.WEIGHTS)
    return sorted({held.name for held in found if ":" not in held.name or solution.is_module(held.name)})
