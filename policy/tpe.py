"""TPE: the tree-structured Parzen estimator of Optuna over the literals of the unedited target, as a hyper-parameter search would see it.

Every literal site is one dimension: its edits on their grid, and leaving it alone. Where all edits set a number the dimension is ordered by
what they set, else its values are categories. The search starts at the values that a person chose (all alone) and near them. A proposal
is a script on the unedited target; nothing but literals is ever edited.

Source: Bergstra et al. 2011 (NeurIPS), Watanabe 2023 (arXiv:2304.11127); Optuna's sampler, multivariate.
Hyper-parameters: docs/benchmark.md. A trial without a metric counts as a little worse than the worst one that has one.
Not covered: values between the grid's.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from graph.model import NodeKind
from mutator.shipped import default_grammar
from policy.content import read_number
from policy.draw import open_stream
from policy.lineage import Lineage
from policy.protocol import Move, PolicyError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

    from graph.code_graph import CodeGraph
    from mutator.edit import Edit
    from policy.protocol import Parent, Scene, Tried

N_STARTUP = 20  # trials near the unedited target, before the estimator decides
MOST_STARTUP = 3  # edits of such a trial
N_CANDIDATES = 24  # that the estimator draws for each proposal
_ATTEMPTS = 10


@dataclass(frozen=True, slots=True)
class Dimension:
    """One literal site: what it may become, by what it sets where that is a number; None leaves it alone."""

    options: tuple[Edit | None, ...]
    ordered: bool


class TpePolicy:
    """Its state are the trials; each proposal has a sampler of its own, so that its draws depend on nothing else."""

    def __init__(
        self,
        seed: int,
        *,
        n_startup: int = N_STARTUP,
        most_startup: int = MOST_STARTUP,
        n_candidates: int = N_CANDIDATES,
    ) -> None:
        """Know nothing yet.

        Raises: PolicyError: Optuna is not installed.
        """
        self._optuna = _import_optuna()
        self._seed, self._n_startup, self._most_startup, self._n_candidates = (
            seed,
            n_startup,
            most_startup,
            n_candidates,
        )
        self._lineage = Lineage()
        self._dimensions: tuple[Dimension, ...] = ()
        self._distributions: dict[str, Any] = {}
        self._study, self._worst = self._optuna.create_study(direction="maximize"), 0.0

    def propose(self, scene: Scene, n: int) -> tuple[Move, ...]:
        """Pick at most n different scripts on the unedited target."""
        self._read_dimensions(scene)
        root = scene.parents[0]
        moves: dict[Move, None] = {}
        for number in range(scene.number, scene.number + n if self._dimensions else 0):
            stream = open_stream(self._seed, "tpe", number)
            point = self._near(stream) if number <= self._n_startup else self._ask(stream)
            for _ in range(_ATTEMPTS):
                move = Move(0, self._script(point))
                if self._may_try(move, root) and move not in moves:
                    moves[move] = None
                    break
                point = self._step(point, stream)
        return tuple(moves)

    def feedback(self, trials: Sequence[Tried]) -> None:
        """Remember what the trials measured."""
        for trial in trials:
            self._lineage.add(trial)
            point = self._point(trial)
            if point is not None:
                self._tell(point, trial.lead if trial.ok else math.nan)

    def recover(self, scenes: Sequence[Scene], trials: Sequence[Tried]) -> None:
        """Remember the trials; proposing leaves no trace but the unedited target's dimensions."""
        for scene in scenes[:1]:
            self._read_dimensions(scene)
        self.feedback(trials)

    def _read_dimensions(self, scene: Scene) -> None:
        if not self._dimensions:
            self._dimensions = read_dimensions(scene.parents[0])
            self._distributions = {str(i): self._distribution(each) for i, each in enumerate(self._dimensions)}
            self._tell(self._root, 0.0)

    def _near(self, stream: Random) -> tuple[int, ...]:
        """Draw a point that differs from the unedited target in a few dimensions."""
        point = self._root
        for _ in range(stream.randint(1, self._most_startup)):
            point = self._step(point, stream)
        return point

    def _step(self, point: tuple[int, ...], stream: Random) -> tuple[int, ...]:
        """Change one dimension."""
        moved = stream.randrange(len(point))
        others = [option for option in range(len(self._dimensions[moved].options)) if option != point[moved]]
        return (*point[:moved], stream.choice(others), *point[moved + 1 :])

    def _ask(self, stream: Random) -> tuple[int, ...]:
        """Let the estimator decide, on the unedited target and all trials."""
        optuna = self._optuna
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            self._study.sampler = optuna.samplers.TPESampler(
                seed=stream.getrandbits(32), multivariate=True, n_startup_trials=0, n_ei_candidates=self._n_candidates
            )
        asked = self._study.ask(self._distributions)
        self._study.tell(asked, state=optuna.trial.TrialState.FAIL)  # what is learned comes back as a trial of its own
        return tuple(asked.params[str(i)] for i in range(len(self._dimensions)))

    def _tell(self, point: Sequence[int], lead: float) -> None:
        """Add a trial; one without a metric counts as a little worse than the worst."""
        self._worst = min(self._worst, lead)  # NaN is never less
        value = self._worst - 1.0 if math.isnan(lead) else lead
        params = {str(i): option for i, option in enumerate(point)}
        self._study.add_trial(
            self._optuna.trial.create_trial(params=params, distributions=self._distributions, value=value)
        )

    def _distribution(self, dimension: Dimension) -> Any:  # noqa: ANN401 - a class of an extra
        n, distributions = len(dimension.options), self._optuna.distributions
        return (
            distributions.IntDistribution(0, n - 1)
            if dimension.ordered
            else distributions.CategoricalDistribution(range(n))
        )

    def _script(self, point: Sequence[int]) -> tuple[Edit, ...]:
        picked = (dimension.options[option] for dimension, option in zip(self._dimensions, point, strict=True))
        return tuple(edit for edit in picked if edit is not None)

    @property
    def _root(self) -> tuple[int, ...]:
        """The unedited target."""
        return tuple(dimension.options.index(None) for dimension in self._dimensions)

    def _point(self, trial: Tried) -> tuple[int, ...] | None:
        """Return where a trial of the unedited target was made; None for what another policy tried elsewhere."""
        edits = set(trial.script) if trial.parent == 0 else set()
        held = [[option for option in dimension.options if option in edits] for dimension in self._dimensions]
        if not edits or sum(map(len, held)) != len(edits) or any(len(options) > 1 for options in held):
            return None
        return tuple(d.options.index(h[0] if h else None) for d, h in zip(self._dimensions, held, strict=True))

    def _may_try(self, move: Move, root: Parent) -> bool:
        if not self._lineage.is_new(0, move.script):
            return False
        return len(move.script) > 1 or move.script[0] in root.edits


def read_dimensions(root: Parent) -> tuple[Dimension, ...]:
    """List the literal sites of the unedited target, in the order of its edits."""
    graph, preserving = root.graph, default_grammar().preserving
    at: dict[str, list[Edit]] = {}
    for edit in root.edits:
        if edit.kind not in preserving and edit.site in graph.nodes and graph.nodes[edit.site].kind is NodeKind.LITERAL:
            at.setdefault(edit.site, []).append(edit)
    return tuple(_dimension(graph, edits) for edits in at.values())


def _dimension(graph: CodeGraph, edits: Sequence[Edit]) -> Dimension:
    before = read_number(graph, graph.nodes[edits[0].site])
    values = [(before, None), *((_after(before, edit), edit) for edit in edits)]
    ordered = not any(math.isnan(value) for value, _ in values)
    if ordered:
        values.sort(key=lambda each: each[0])
    return Dimension(tuple(edit for _, edit in values), ordered)


def _after(before: float, edit: Edit) -> float:
    """Return the number that an edit sets; NaN where it sets none."""
    chosen = dict(edit.choice)
    by, to = chosen.get("by"), chosen.get("to")
    if isinstance(by, float | int):
        return before * by
    return float(to) if isinstance(to, float | int) else math.nan


def _import_optuna() -> Any:  # noqa: ANN401 - an extra
    try:
        import optuna  # noqa: PLC0415 - an optional extra, and heavy
    except ImportError:
        raise PolicyError("policy tpe: needs Optuna, which is not installed; pip install 'codegraft[optuna]'") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna
