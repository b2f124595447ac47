"""A campaign on a landscape: moves are measured by a look-up instead of a training, all else is the campaign's own.

Trials are confirmed, judged and rewarded by harness.verdict and harness.reward, under policy.protocol, one at a time. What a campaign hands
back is its incumbent, so that is what a walk is judged by: by its true value, never by what it happened to measure.

Not covered: the terms of the reward that read sources (novelty, complexity), stopping rules, second shards of the held-out data, several
trials at the same time. The graph is the unedited target's, whatever the program.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from graph.complexity import Complexity
from harness.landscape.landscape import share_gained
from harness.programs import is_legal
from harness.reward import reward_of
from harness.values import Outcome, Status, Trial, status_of
from harness.verdict import incumbent_of, judge, noise_of, wanted
from mutator.edit import print_script
from mutator.shipped import default_grammar
from policy.protocol import PolicyError, Scene
from policy.tally import identify

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from graph.code_graph import CodeGraph
    from harness.landscape.landscape import Landscape
    from harness.values import Reward, Verdict
    from harness.verdict import Incumbent
    from mutator.edit import Edit
    from policy.protocol import Move, Policy

REPLICATES = 3  # of the unedited target, as a campaign has by default
_RUN_SEEDS = 1_000_000  # apart: the seeds of two walks' runs
_UNSEEN = 10_000  # from here on are seeds of runs that confirm, by the number of the trial
_NO_GROWTH = Complexity(0, 0, 0)


@dataclass(frozen=True)
class Program:
    """A program of a walk: a policy.protocol.Parent."""

    number: int
    script: tuple[Edit, ...]
    landscape: Landscape
    outcomes: tuple[Outcome, ...]
    tried: frozenset[Edit] = frozenset()  # alone, on it

    @property
    def graph(self) -> CodeGraph:
        """The unedited target's."""
        return self.landscape.graph

    @property
    def listed(self) -> tuple[Edit, ...]:
        """The edits that may follow."""
        return self.landscape.legal(self.script)

    @property
    def edits(self) -> tuple[Edit, ...]:
        """The edits that may follow, but for those that were tried on it alone."""
        return tuple(edit for edit in self.listed if edit not in self.tried)


@dataclass
class Walk:
    """A campaign on a landscape as far as it has come; the seed is that of its runs."""

    landscape: Landscape
    seed: int
    n_trials: int
    trials: list[Trial] = field(default_factory=list)  # of programs that no store holds: without digest and commit
    gains: list[float] = field(default_factory=list)  # true share gained by the incumbent after each trial

    def __post_init__(self) -> None:
        self._sign = self.landscape.direction.sign
        self._first_seed = self.seed * _RUN_SEEDS
        baseline = tuple(self._run((), self._first_seed + i) for i in range(REPLICATES))
        self._noise = noise_of(baseline)
        self._programs = {0: Program(0, (), self.landscape, baseline)}
        self._incumbent = 0
        self._known: set[frozenset[object]] = {frozenset()}

    def look(self) -> Scene:
        """Show what a policy may look at before the next trial."""
        n_known, parents = len(self.trials), tuple(self._programs.values())
        priors = default_grammar().priors
        return Scene(self._programs[self._incumbent], parents, n_known + 1, self.n_trials, n_known, priors)

    def play(self, move: Move) -> Trial:
        """Run, judge and reward a move.

        Raises: PolicyError: it is none of the scene.
        """
        parent, number = self._programs.get(move.parent), len(self.trials) + 1
        if parent is None or not is_legal(move.script, {*parent.listed}, parent.tried):
            raise PolicyError(
                f"trial {number}: {print_script(move.script)} on trial {move.parent} is no move of the scene"
            )
        if len(move.script) == 1:
            self._programs[move.parent] = replace(parent, tried=parent.tried | {*move.script})
        script, standing = (*parent.script, *move.script), incumbent_of(self._programs[self._incumbent].outcomes)
        outcomes = self._outcomes(script, standing, number)
        verdict = judge(outcomes, standing, self._noise, sign=self._sign)
        reward = self.reward(script, verdict, status_of(outcomes))
        trial = Trial(number, move.parent, move.script, "", "", outcomes, verdict, reward)
        self.trials.append(trial)
        if trial.ok:
            self._programs[number] = Program(number, script, self.landscape, outcomes[:REPLICATES])
            self._incumbent = number if trial.kept else self._incumbent
        self.gains.append(share_gained(self.landscape, self._programs[self._incumbent].script))
        return trial

    def reward(self, script: Sequence[Edit], verdict: Verdict, status: Status) -> Reward:
        """Reward a script of the unedited target, without the terms that read sources."""
        del script
        return reward_of(verdict, novelty=0.0, complexity=_NO_GROWTH, status=status)

    @property
    def n_runs(self) -> int:
        """How many runs the trials took, with their confirmations and without the baseline."""
        return sum(len(trial.outcomes) for trial in self.trials)

    def _outcomes(self, script: Sequence[Edit], standing: Incumbent, number: int) -> tuple[Outcome, ...]:
        """Carry out the runs that a verdict needs."""
        program = frozenset(map(identify, script))
        if program in self._known:
            return (Outcome(Status.DUPLICATE, detail="the same program was tried before"),)
        self._known.add(program)
        outcomes: list[Outcome] = []
        while True:
            unseen = self._first_seed + _UNSEEN + number
            runs = wanted(outcomes, standing, self._noise, sign=self._sign, unseen=unseen)
            if len(runs) == len(outcomes) or not all(outcome.ok for outcome in outcomes):
                return tuple(outcomes)
            outcomes.append(self._run(script, runs[len(outcomes)].seed))

    def _run(self, script: Sequence[Edit], seed: int) -> Outcome:
        metric = self.landscape.measure(script, seed)
        if math.isnan(metric):
            return Outcome(Status.FAILED, seed=seed, detail="has no metric")
        return Outcome(Status.OK, metric, seed)


def walk(
    landscape: Landscape,
    policy: Policy,
    *,
    seed: int,
    n_trials: int,
    begin: Callable[[Landscape, int, int], Walk] = Walk,
) -> Walk:
    """Let a policy search until its trials are used up or it has nothing more to try.

    Raises: PolicyError: it proposes what is no move of the scene. TrialError: the unedited target has no metric.
    """
    course = begin(landscape, seed, n_trials)
    while len(course.trials) < n_trials and (moves := policy.propose(course.look(), 1)):
        policy.feedback([course.play(moves[0])])
    course.gains += [course.gains[-1] if course.gains else 0.0] * (n_trials - len(course.gains))
    return course
