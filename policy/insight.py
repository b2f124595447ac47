"""What the trials of a campaign told about its edits: which program each led to, and what the effects are believed to be."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from policy.effects import Experience, Kernel
from policy.lineage import Lineage
from policy.protocol import PolicyError
from policy.traits import describe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from graph.code_graph import CodeGraph
    from mutator.edit import Edit
    from policy.effects import Effects
    from policy.prior import Prior
    from policy.protocol import Parent, Scene, Tried
    from policy.traits import Floats, Traits

_KEPT_RUNS = 3  # what the runs of a program that was kept count as; the others ran once
_REMEMBERED = 4  # graphs whose edits need not be described anew


class Insight:
    """Grows by one trial at a time; the same after equal scenes and trials, in whichever process."""

    def __init__(self, kernel: Kernel, prior: Prior | None = None) -> None:
        self._kernel, self._prior = kernel, prior
        self.lineage = Lineage()
        self._experience = Experience()
        self._made_of: dict[int, tuple[int, ...]] = {0: ()}  # columns of the experience, by program
        self._n_runs = {0: _KEPT_RUNS}
        self._scenes: dict[int, Scene] = {}  # that wait for feedback, by the first number proposed on each
        self._described: dict[int, tuple[CodeGraph, dict[Edit, int], Traits | None]] = {}  # by the graph's identity
        self._effects: Effects | None = None

    def see(self, scene: Scene) -> None:
        """Take note of what moves are proposed on."""
        self._scenes[scene.number] = scene

    def learn(self, trial: Tried) -> None:
        """Take note of a trial of the scenes that were seen.

        Raises: PolicyError: no scene that waits for feedback shows its parent.
        """
        number = max((first for first in self._scenes if first <= trial.number), default=0)
        shown = {parent.number: parent for parent in self._scenes[number].parents} if number else {}
        if trial.parent not in shown:
            raise PolicyError(f"trial {trial.number}: was not proposed since the last feedback; propose first")
        n_runs = _KEPT_RUNS if trial.kept else 1
        gain = trial.lead - self.lineage.leads[trial.parent] if trial.ok else float("nan")
        together = n_runs * self._n_runs[trial.parent] / (n_runs + self._n_runs[trial.parent])
        columns = self._experience.add(self.describe(shown[trial.parent], trial.script), gain, n_runs=together)
        if trial.ok:
            self._made_of[trial.number] = (*self._made_of[trial.parent], *columns)
            self._n_runs[trial.number] = n_runs
        self.lineage.add(trial)
        self._effects = None
        for first in [first for first in self._scenes if first < number]:
            del self._scenes[first]

    def recover(self, scenes: Sequence[Scene], trials: Sequence[Tried]) -> None:
        """Look at scenes and learn from trials in the order in which it happened."""
        shown = deque(scenes)
        for n_known, trial in enumerate((*trials, None)):
            while shown and shown[0].n_known <= n_known:
                self.see(shown.popleft())
            if trial is not None:
                self.learn(trial)

    @property
    def effects(self) -> Effects:
        """The process, fitted to all trials."""
        if self._effects is None:
            self._effects = self._experience.fit(self._kernel)
        return self._effects

    def describe(self, parent: Parent, edits: Sequence[Edit]) -> Traits:
        """Return the traits of edits of a program."""
        graph = parent.graph
        known, rows, traits = self._described.pop(id(graph), (graph, {}, None))
        new = [edit for edit in dict.fromkeys(edits) if edit not in rows]
        if new:
            described = describe(graph, new)
            if self._prior is not None:
                described = replace(described, promise=self._prior.promise(described))
            rows |= {edit: len(rows) + i for i, edit in enumerate(new)}
            traits = described if traits is None else traits.join(described)
        assert traits is not None
        self._described[id(graph)] = known, rows, traits
        while len(self._described) > _REMEMBERED:
            del self._described[next(iter(self._described))]
        return traits[[rows[edit] for edit in edits]]

    def rank(self, parents: Sequence[Parent]) -> tuple[list[Parent], Floats]:
        """Return the programs by what their edits are believed to gain together, the best first, and these gains."""
        effects = self.effects
        means = np.zeros(0) if effects.tried is None else effects.believe(effects.tried).mean
        gains = np.array([sum(means[list(self._made_of[each.number])]) for each in parents])
        order = np.argsort(-gains, kind="stable")
        return [parents[i] for i in order], gains[order]
