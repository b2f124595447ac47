"""Tier scored, begun: a predictor for the model, a scorer for the loss that a script evaluates, a prepare, and a manifest that names them.

They are written where one class of the sources is trained, can be made without running the script, and maps one input to outputs, and where
one known loss is computed. What nobody can read off the sources (how the data are split, values that only a run knows) raises, and says
what to write there.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path
from string import Template
from textwrap import indent
from typing import TYPE_CHECKING

from graph.model import EdgeKind, NodeKind
from harness.init.write import CEILING_S, target_name, toml_list, toml_text
from mutator.facts import is_torch_module

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from graph.model import Node
    from harness.init.repository import Repository
    from harness.init.survey import Survey

FOLDER = "scored"
_FILES = ("prepare.py", "predict.py", "scorer.py")
_HERE = Path(__file__).parent
_MEASURES = ("loss", "nll", "mse")  # metrics that are a mean of one of these losses
_SAME_SHAPE = """\
if outputs.size != targets.size:
    raise ValueError(f"predict returned shape {outputs.shape} for targets {targets.shape}")
"""
_CLASSES = """\
if outputs.shape[:-1] != targets.shape:
    raise ValueError(f"predict returned shape {outputs.shape}; return {(*targets.shape, 'classes')}")
"""
_CHOSEN = "return -np.take_along_axis(outputs, targets[..., None].astype(np.int64), axis=-1)[..., 0]\n"
_NORMALISE = """\
outputs = outputs - outputs.max(axis=-1, keepdims=True)  # exp cannot overflow
outputs = outputs - np.log(np.exp(outputs).sum(axis=-1, keepdims=True, dtype=np.float64))
"""


@dataclass(frozen=True, slots=True)
class _Loss:
    """One that a scorer can compute from outputs and targets."""

    name: str
    shapes: str
    body: str


_LOGITS = _Loss("cross-entropy", "(..., classes) logits; targets: (...) classes", _CLASSES + _NORMALISE + _CHOSEN)
_CERTAIN = _Loss(
    "negative log-likelihood", "(..., classes) log-probabilities; targets: (...) classes", _CLASSES + _CHOSEN
)
_SQUARE = _Loss(
    "squared error",
    "as many numbers as targets",
    _SAME_SHAPE + "return np.square(outputs.reshape(targets.shape).astype(np.float64) - targets)\n",
)
_BINARY = _Loss(
    "binary cross-entropy",
    "a logit for each target, which is 0 or 1",
    _SAME_SHAPE + "z = outputs.reshape(targets.shape).astype(np.float64)\nreturn np.logaddexp(0.0, z) - z * targets\n",
)
_LOSSES = {
    "torch.nn.functional.cross_entropy": _LOGITS, "torch.nn.CrossEntropyLoss": _LOGITS,
    "torch.nn.functional.nll_loss": _CERTAIN, "torch.nn.NLLLoss": _CERTAIN,
    "torch.nn.functional.mse_loss": _SQUARE, "torch.nn.MSELoss": _SQUARE,
    "torch.nn.functional.binary_cross_entropy_with_logits": _BINARY, "torch.nn.BCEWithLogitsLoss": _BINARY,
}  # fmt: skip


def stubs_of(repository: Repository, found: Survey) -> dict[str, str]:
    """Return the files to write by their paths below the root; none where the model or the evaluation is not recognised."""
    paths = [path for path in found.mutable if path in repository.trees]
    models, losses = list(_models(repository, found.script, paths)), list(_losses(repository, paths))
    if len({model.class_slot for model in models}) != 1 or len({loss.name for loss, _ in losses}) != 1:
        return {}
    if not found.metric.name.endswith(_MEASURES):
        return {}
    (loss, where), *_ = losses
    model = models[0]
    texts = (
        _fill("prepare.py", data=f" of {', '.join(found.data)}" if found.data else ""),
        _fill("predict.py", module=model.module, model=model.name, where=model.where, body=model.body, left=model.left),
        _fill("scorer.py", loss=loss.name, where=where, metric=found.metric.name, shapes=loss.shapes, body=indent(loss.body, "    ")),
    )  # fmt: skip
    return {f"{FOLDER}/{name}": text for name, text in zip(_FILES, texts, strict=True)}


def scored_manifest(repository: Repository, found: Survey, root: Path) -> str:
    """Write the manifest of the stubs, beside them, with what is left to do first."""
    step = next(repository.steps(found.script))
    update = step.updates[-1]
    at = f"{update.path}:{repository.graph.line(update)}"
    frozen = [*(f"{FOLDER}/{name}" for name in _FILES), *found.frozen]
    lines = [
        "# Tier scored, begun by `codegraft init`: the metric is computed where edits cannot reach. Left to do:",
        f"# 1. {FOLDER}/prepare.py: split the data; {FOLDER}/predict.py: make the model.",
        f"# 2. {found.script}: `from {FOLDER}.prepare import Budget, checkpoint_path, load_train, trial_seed`, and use the last two.",
        "# 3. Before each step: `if budget.progress() >= 1.0: break`; after it: `budget.spend(outputs, targets)`. It is taken in",
        f"#    {at}, `{repository.graph.text(update)}`. Let only this end the training.",
        "# 4. At the end: `safetensors.torch.save_model(model, str(checkpoint_path()))`.",
        f"# Then: codegraft check {root.name}/{FOLDER}",
        f"name = {toml_text(target_name(root) + '-scored')}",
        'root = ".."',
        f"train = {toml_text(found.script)}",
        f"arguments = {toml_list(found.arguments)}",
        f"mutable = {toml_list(found.mutable)}",
        f"frozen = {toml_list(frozen)}",
        f'prepare = "{FOLDER}/prepare.py:prepare"',
        f'predictor = "{FOLDER}/predict.py:load"',
        f'scorer = "{FOLDER}/scorer.py:score"',
        'checkpoint = "model.safetensors"',
        f"metric = {toml_text(found.metric.name)}",
        f'direction = "{found.metric.direction}"',
        'probes = []  # "causal" for a language model; `codegraft check` says which it passes',
        "",
        "[budget]",
        'unit = "steps"',
        "amount = 1000",
        "",
        "[limits]",
        f"wall_s = {2 * CEILING_S:g}",
        f"cpu_s = {CEILING_S:g}",
    ]
    return "\n".join(lines) + "\n"


def _fill(name: str, **values: str) -> str:
    return Template((_HERE / f"{name}.txt").read_text(encoding="utf-8")).substitute(values).rstrip("\n") + "\n"


@dataclass(frozen=True, slots=True)
class _Model:
    """How a script makes the model that it trains."""

    class_slot: str
    module: str
    name: str
    where: str
    made: ast.Call

    @property
    def is_plain(self) -> bool:
        """Whether the arguments are literals, so that anyone can make it."""
        given = (*self.made.args, *(keyword.value for keyword in self.made.keywords))
        return all(isinstance(value, ast.Constant) for value in given)

    @property
    def left(self) -> str:
        return "" if self.is_plain else " Left to do: `build`."

    @property
    def body(self) -> str:
        """The body of a function that makes it."""
        written = ast.unparse(self.made)
        what = f"{FOLDER}/predict.py: make the model with the values of {self.where}, and delete this line"
        refuses = "" if self.is_plain else f"    raise NotImplementedError({what!r})\n"
        return f"{refuses}    return {written}\n"


def _models(repository: Repository, script: str, paths: Sequence[str]) -> Iterator[_Model]:
    """Walk the calls that make a model of ours outside of the models themselves, where others can make it too."""
    graph = repository.graph
    for path in paths:
        for node in (n for n in ast.walk(repository.trees[path]) if isinstance(n, ast.Call)):
            call = _call_at(repository, path, node)
            for slot in graph.targets(call.slot, EdgeKind.INSTANTIATES) if call is not None else ():
                made = graph.nodes[slot]
                outside = not any(isinstance(outer, ast.ClassDef) for outer in repository.within(node))
                is_ours = bool(made.path) and is_torch_module(graph, slot) and made.scope in graph.nodes
                if outside and is_ours and _is_importable(repository, script, made) and _takes_one(repository, slot):
                    module = made.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
                    yield _Model(slot, module, made.label, f"{path}:{node.lineno}", node)


def _call_at(repository: Repository, path: str, node: ast.Call) -> Node | None:
    start, end = repository.offset(path, node), repository.offset(path, node, at_end=True)
    found = (n for n in repository.graph.files[path].nodes if n.kind is NodeKind.CALL)
    return next((n for n in found if (n.start, n.end) == (start, end)), None)


def _is_importable(repository: Repository, script: str, made: Node) -> bool:
    """Whether importing the module of a class does not run the training."""
    guarded = any("__name__" in ast.unparse(s.test) for s in repository.trees[script].body if isinstance(s, ast.If))
    return made.path != script or guarded


def _takes_one(repository: Repository, slot: str) -> bool:
    """Whether the forward of a model can be called with one input."""
    for member in repository.graph.members(slot, "forward"):
        node = repository.graph.nodes[member]
        for function in ast.walk(repository.trees[node.path]):
            if isinstance(function, ast.FunctionDef) and repository.node_at(node.path, function) == node:
                given = function.args
                return len(given.args) - 1 - len(given.defaults) <= 1 and len(given.kw_defaults) == len(
                    given.kwonlyargs
                )
    return False


def _losses(repository: Repository, paths: Sequence[str]) -> Iterator[tuple[_Loss, str]]:
    """Walk the losses that the sources compute and a scorer can."""
    for node in repository.graph.of_kind(NodeKind.CALL):
        for callee in repository.graph.callees(node) if node.path in paths else ():
            loss = _LOSSES.get(callee.removesuffix(".__call__"))
            if loss is not None:
                yield loss, f"{node.path}:{repository.graph.line(node)}"
