"""What the trials of a campaign told about its edits: which program each led to, and what the effects are believed to be."""

from __future__ import annotations

import math
from collections import deque
from copy import copy
from dataclasses import replace
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np

from policy.catalogue import Catalogue
from policy.costs import Costs, log_chance
from policy.effects import Effects, Experience, Joint, read_gain, slope, vary_runs
from policy.kernel import Kernel, Unpromised
from policy.lineage import Lineage, key_of
from policy.protocol import PolicyError
from policy.tally import identify
from policy.traits import is_number

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mutator.edit import Edit
    from policy.lineage import Key
    from policy.prior import Prior
    from policy.protocol import Move, Parent, Scene, Tried
    from policy.traits import Floats, Traits


_AGAIN = "again "
_KEPT_RUNS = 3  # what the runs of a program that was kept count as; the others ran once
_REMEMBERED = 4  # graphs whose edits need not be described anew


class Insight:
    """Grows by one trial at a time; the same after equal scenes and trials, in whichever process."""

    def __init__(self, kernel: Kernel, prior: Prior | None = None) -> None:
        self._kernel, self._prior = kernel, prior
        self.lineage = Lineage()
        self._experience = Experience()
        self._steps: dict[int, tuple[int, int]] = {}  # parent, and row of the experience, by program
        self._n_runs = {0: _KEPT_RUNS}
        self._scenes: dict[int, Scene] = {}  # that wait for feedback, by the first number proposed on each
        self._catalogues: dict[int, Catalogue] = {}  # by the graph's identity, which is not reused while it is in here
        self._effects: Effects | None = None
        self._costs = Costs()
        self._most_cost = math.inf
        self._refused: set[int] = set()  # programs that were better, and not kept
        self._moves: dict[int, Move] = {}  # what was proposed, by the number of its trial
        self._made_now: set[Key] = set()  # the programs that are under way at the scene that was seen last
        self._awaited: list[tuple[Traits, Key]] = []  # and the scripts that make them, with what each is an edit of
        self._unedited: frozenset[str] = frozenset()  # slots of the unedited target
        self._ran_on: dict[int, list[Edit]] = {}  # edits that were measured alone, by program

    def see(self, scene: Scene) -> None:
        """Take note of what moves are proposed on."""
        self._scenes[scene.number], self._most_cost = scene, scene.most_cost
        self._unedited = self._unedited or frozenset(scene.parents[0].graph.nodes)
        parents = {parent.number: parent for parent in scene.parents}
        numbers = [number for number in range(scene.n_known + 1, scene.number) if number in self._moves]
        under_way = [move for move in map(self._moves.__getitem__, numbers) if move.parent in parents]
        self._made_now = {key_of((*self.lineage.scripts[move.parent], *move.script)) for move in under_way}
        awaited = [
            (self.describe(parents[move.parent], move.script), self._key(parents[move.parent])) for move in under_way
        ]
        self._effects = None if awaited or self._awaited else self._effects
        self._awaited = awaited

    def propose(self, scene: Scene, moves: Sequence[Move]) -> None:
        """Take note of what was proposed on a scene: it is under way until it is fed back."""
        self._moves |= {scene.number + i: move for i, move in enumerate(moves)}

    def is_new(self, parent: Parent, script: Sequence[Edit]) -> bool:
        """Whether no trial made this program or is about to, in whatever order of the edits."""
        key = key_of((*self.lineage.scripts[parent.number], *script))
        return key not in self.lineage.tried and key not in self._made_now

    def new_edits(self, parent: Parent) -> list[Edit]:
        """List the edits of a program that no trial has made of it or is about to."""
        known = self._key(parent)
        made = self.lineage.tried | self._made_now
        explored = {edit[:3] for key in made if len(key) == len(known) + 1 and key > known for edit in key - known}
        sites = {site for _, site, _ in explored}
        return [edit for edit in parent.edits if edit.site not in sites or identify(edit) not in explored]

    def learn(self, trial: Tried) -> Parent:
        """Take note of a trial of the scenes that were seen; return the program that it edits.

        Raises: PolicyError: no scene that waits for feedback shows its parent.
        """
        number = max((first for first in self._scenes if first <= trial.number), default=0)
        shown = {parent.number: parent for parent in self._scenes[number].parents} if number else {}
        if trial.parent not in shown:
            raise PolicyError(f"trial {trial.number}: was not proposed since the last feedback; propose first")
        parent = shown[trial.parent]
        led_back = trial.repeats and any(
            told != edit for told, edit in zip(self._told(parent, trial.script), trial.script, strict=True)
        )
        if led_back or not trial.repeats:
            self._experience_of(trial, parent, self._scenes[number].most_cost)
        self.lineage.add(trial)
        if trial.refused:
            self._refused.add(trial.number)
        self._effects = None
        for first in [first for first in self._scenes if first < number]:
            del self._scenes[first]
        return parent

    def _experience_of(self, trial: Tried, parent: Parent, most_cost: float) -> None:
        script = self.describe(parent, trial.script)
        self._costs.learn(trial, script)
        too_costly = trial.cost > most_cost
        if too_costly and not trial.ok:
            return  # it was ended for its cost, which says nothing about its worth
        before = self.lineage.leads[trial.parent]
        trusted = trial.ok and (too_costly or not trial.refused)
        gain = trial.lead - before if trusted else math.nan
        self._n_runs[trial.number] = _KEPT_RUNS if trial.kept else 1
        runs = ((trial.number, trial.lead, 1.0), (trial.parent, before, -1.0)) if trusted else ()
        disturbed = [
            (program, sign * slope(gain) * np.sqrt(vary_runs(lead) / self._n_runs[program]))
            for program, lead, sign in runs
        ]
        self._experience.add(
            script, *read_gain(gain, None if trial.stopped else (0.0, 0.0)), disturbed, self._key(parent)
        )
        if trial.ok:
            self._steps[trial.number] = (trial.parent, len(self._experience) - 1)
            if len(trial.script) == 1:
                self._ran_on.setdefault(trial.parent, []).append(trial.script[0])

    @property
    def effects(self) -> Effects:
        """The process, fitted to all trials, and aware of those under way."""
        if self._effects is None:
            fitted = self._experience.fit(self._kernel)
            self._effects = reduce(lambda effects, step: effects.awaiting(*step), self._awaited, fitted)
        return self._effects

    def without_promises(self) -> Insight:
        """Return what the same trials tell a campaign that listens to no other target; to look at, not to learn with."""
        other = copy(self)
        other._kernel, other._effects, other._costs = Unpromised(), None, self._costs.without_promises()  # noqa: SLF001 - its own
        return other

    def ran_on(self, parent: Parent) -> Sequence[Edit]:
        """Return the edits that were measured on a program, each alone."""
        return self._ran_on.get(parent.number, ())

    def describe(self, parent: Parent, edits: Sequence[Edit]) -> Traits:
        """Return the traits of edits of a program, at least one."""
        return self._catalogue(parent).describe(self._told(parent, edits))

    def _told(self, parent: Parent, edits: Sequence[Edit]) -> Sequence[Edit]:
        """Return edits as what is believed knows them: one that goes over what the program's own edits made is of another kind.

        It takes the place of what was edited before, so it is no news that its kind gains there.
        """
        if not parent.script:
            return edits
        made = {(edit.kind, edit.site) for edit in parent.script}
        set_again = {site for _, site in made if is_number(parent.graph, site)}
        return [
            replace(edit, kind=_AGAIN + edit.kind)
            if edit.site not in self._unedited or edit.site in set_again or (edit.kind, edit.site) in made
            else edit
            for edit in edits
        ]

    def believe(self, parent: Parent, edits: Sequence[Edit]) -> tuple[Floats, Floats]:
        """Return means and deviations of what edits of a program gain: (len(edits),) each."""
        return self._catalogue(parent).believe(self.effects, self._told(parent, edits), self._key(parent))

    def log_chances(self, parent: Parent, edits: Sequence[Edit]) -> Floats:
        """Return the log of the chance that a program with one edit more costs no more than a program that is kept may: (len(edits),)."""
        if (room := self.room(parent)) == math.inf:
            return np.zeros(len(edits))
        mean, deviation = self._catalogue(parent).believe(self._costs.effects, self._told(parent, edits))
        return log_chance(mean, deviation**2, room)

    def foresee(self, parent: Parent, edits: Sequence[Edit]) -> tuple[Joint, Joint]:
        """Return what edits of a program, at least one, gain together, and what they cost where that matters."""
        traits, n = self.describe(parent, edits), len(edits)
        free = self.room(parent) == math.inf
        return self.effects.foresee(traits, self._key(parent)), (
            Joint(np.zeros(n), np.zeros((n, n))) if free else self._costs.effects.foresee(traits)
        )

    def room(self, parent: Parent) -> float:
        """Return by how many doublings of its cost a program is below what one that is kept may cost; infinite where that is no matter."""
        return math.log2(self._most_cost) - self._costs.spent(parent.number)

    def _key(self, parent: Parent) -> Key:
        return key_of(self.lineage.scripts[parent.number])

    def _catalogue(self, parent: Parent) -> Catalogue:
        found = self._catalogues.pop(id(parent.graph), None) or Catalogue(parent.graph, self._prior)
        self._catalogues[id(parent.graph)] = found
        while len(self._catalogues) > _REMEMBERED:
            del self._catalogues[next(iter(self._catalogues))]
        return found

    def rank(self, parents: Sequence[Parent]) -> tuple[list[Parent], Floats]:
        """Return the programs by what they are believed to be worth, the best first, with these gains over the unedited target.

        Programs that were refused are left out: what is made of one would be refused as well.
        """
        parents = [parent for parent in parents if parent.number not in self._refused]
        worth = self._worth()
        gains = np.array([worth[each.number] for each in parents])
        order = np.argsort(-gains, kind="stable")
        return [parents[i] for i in order], gains[order]

    def _worth(self) -> dict[int, float]:
        """Return what programs are believed to gain over the unedited target: the sum of the steps that lead to each."""
        worth, steps = {0: 0.0}, self.effects.steps
        for number, (parent, row) in self._steps.items():
            worth[number] = worth[parent] + float(steps[row])
        return worth


def replay(
    scenes: Sequence[Scene],
    trials: Sequence[Tried],
    *,
    propose: Callable[[Scene, int], object],
    learn: Callable[[Sequence[Tried]], object],
) -> None:
    """Propose on scenes and learn from trials in the order in which it happened.

    All is computed again, in the same pieces: sums of other pieces are rounded otherwise, and a tie of two edits hangs on that.
    """
    shown = deque(scenes)
    for n_known, trial in enumerate((*trials, None)):
        while shown and shown[0].n_known <= n_known:
            scene = shown.popleft()
            propose(scene, shown[0].number - scene.number if shown else 1)
        if trial is not None:
            learn([trial])
