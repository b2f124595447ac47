"""The ppo policy: a transformer that samples typed edits, a process over their effects that picks among the samples, and PPO.

A decision has four steps: list the edits of the best programs with what is believed of each (policy.options); sample them from the
network; take the samples that promise most improvement; let edits that are surely good join them (policy.scripts).

What it brings from other tasks (weights, kernel, prior) is in its checkpoint. In a campaign it learns from each trial by its beliefs and
by what the network sees; the weights change only where that is asked for (`online`).
A trial's old log-probability is not stored by `propose` but computed by `feedback`, before it changes a parameter. So what the policy
becomes is a function of its seed and of (scene, trials) alone.
Bit for bit the same numbers come out of the same torch with the same number of threads.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from policy.checkpoint import Schooling, read_checkpoint, write_checkpoint
from policy.draw import draw_without_replacement, open_stream
from policy.insight import Insight, replay
from policy.learn import Step, block, improve, renormalise, roll_out
from policy.memory import Memory
from policy.network import EditNetwork, collate
from policy.observe import hide, observe
from policy.options import limit, open_options, rank
from policy.scripts import lengthen

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from random import Random

    from torch import Tensor

    from mutator.edit import Edit
    from policy.observe import Observation
    from policy.options import Options
    from policy.protocol import Move, Scene, Tried

TEMPERATURE = 0.5
LEARNING_RATE = 1e-4
WINDOW = 24  # trials that an update learns from
N_SAMPLES = 50  # of the network, for one proposal
ALONE_EACH = 4  # trials: then the process decides by the campaign's own trials, so that what came from elsewhere hides nothing for long
_N_LENGTHENED = 4  # of them become scripts


@dataclass(frozen=True, slots=True)
class Design:
    """What may be left out, to see what it is worth."""

    online: bool = False  # change weights in a campaign
    reranked: bool = True  # take the samples that promise most; else as they were drawn
    scripts: bool = True  # several edits at once
    alone: bool = True  # every fourth trial by what this campaign measured
    flat: bool = False  # one head for all options
    hidden: str = ""  # a part of what the network sees (policy.observe.hide)


@dataclass(frozen=True, slots=True)
class View:
    """What was shown at a scene, and what the network sees of it."""

    scene: Scene
    options: Options
    observation: Observation


class PpoPolicy:
    """Samples its network at a temperature, which is part of the policy and so of every log-probability."""

    def __init__(self, seed: int, *, design: Design | None = None, network: EditNetwork | None = None) -> None:
        self._seed, self._design = seed, design or Design()
        self.network = network or self._begin()
        self._optimizer = torch.optim.Adam(self.network.parameters(), lr=LEARNING_RATE, eps=1e-5)
        self.memory = Memory()
        self._window: deque[Step] = deque(maxlen=WINDOW)
        self._views: dict[int, View] = {}  # that wait for feedback, by the first number proposed on each
        self._due = False  # steps that the network has not learned from
        self.take(Schooling())

    def _begin(self) -> EditNetwork:
        """Make a network that knows nothing."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(open_stream(self._seed, "weights", 0).getrandbits(63))
            return EditNetwork(TEMPERATURE, flat=self._design.flat)

    def fork(self, seed: int, design: Design) -> PpoPolicy:
        """Return a policy with the same network, not a copy of it, at the beginning of another campaign."""
        return PpoPolicy(seed, design=design, network=self.network)

    def take(self, schooling: Schooling) -> None:
        """Begin a campaign with what was learned elsewhere."""
        self.schooling = schooling
        self.insight = Insight(schooling.kernel, schooling.prior)

    def propose(self, scene: Scene, n: int) -> tuple[Move, ...]:
        """Pick at most n different moves."""
        view = self.look(scene)
        if view is None:
            return ()
        moves = self._pick(view, n)
        self.insight.propose(scene, moves)
        return moves

    def _pick(self, view: View, n: int) -> tuple[Move, ...]:
        stream = open_stream(self._seed, "edits", view.scene.number)
        if self._is_alone(view.scene.number):
            alone = self.insight.without_promises()
            samples = open_options(alone, view.scene)
            return self._choose(view.scene, alone, samples, n, stream) if samples else ()
        drawn = draw_without_replacement(self.log_probs(view.observation).tolist(), max(n, N_SAMPLES), stream)
        if not self._design.reranked:
            return tuple(map(view.options.move, drawn[:n]))
        return self._choose(view.scene, self.insight, view.options[drawn], n, stream)

    def _is_alone(self, number: int) -> bool:
        return self._design.alone and self._design.reranked and number % ALONE_EACH == 0

    def feedback(self, trials: Sequence[Tried]) -> None:
        """Learn from the finished trials of one proposal, in the order of their numbers; later ones may be under way.

        What the network could not have proposed (another policy did, or it had no say) is remembered, but is no step to learn from.
        Raises: PolicyError: no proposal that waits for feedback began with this trial, or a reward is not finite.
        """
        if not trials:
            return
        number = trials[0].number
        view = self._views.pop(number, None)
        self._views = {first: each for first, each in self._views.items() if first > number}
        if view is not None and self._design.online and not self._is_alone(number):
            steps = self.steps(view, trials)
            self._window.extend(steps)
            self._due |= bool(steps)
        for trial in trials:
            graph = self.insight.learn(trial).graph
            self.memory.add(trial, graph)

    def recover(self, scenes: Sequence[Scene], trials: Sequence[Tried]) -> None:
        """Propose on the scenes and learn from the trials in the order in which it happened, one trial at a time."""
        replay(scenes, trials, propose=self.propose, learn=self.feedback)

    def save(self, path: Path) -> None:
        """Write weights, the optimizer's state and the schooling; the campaign's own memory is in its ledger."""
        write_checkpoint(path, self.network, self._optimizer, self.schooling)

    def load(self, path: Path) -> None:
        """Start from a checkpoint, before a campaign.

        Raises: PolicyError: the file is no checkpoint of this network.
        """
        self.take(read_checkpoint(path, self.network, self._optimizer))

    def look(self, scene: Scene) -> View | None:
        """Take note of a scene; return what there is to choose from, None where there is nothing."""
        self.insight.see(scene)
        options = open_options(self.insight, scene)
        if options is None:
            return None
        options = limit(options, open_stream(self._seed, "options", scene.number))
        observation = observe(scene, options, self.memory)
        if self._design.hidden:
            observation = hide(observation, self._design.hidden)
        view = View(scene, options, observation)
        self._views[scene.number] = view
        if self._due:
            self._improve(view.observation)
        return view

    def log_probs(self, observation: Observation) -> Tensor:
        """Return the log-probability of each option: (M,)."""
        with torch.no_grad():
            return self.network.decide(collate([observation]))[0][0]

    def shown(self, number: int) -> View:
        """Return what was shown when this trial was proposed; it waits for feedback."""
        return self._views[number]

    def _choose(self, scene: Scene, insight: Insight, samples: Options, n: int, stream: Random) -> tuple[Move, ...]:
        """Make scripts of the best samples and return the n that promise most."""
        best = rank(samples, stream)[: max(n, _N_LENGTHENED)]
        if not self._design.scripts:
            return tuple(map(samples.move, best[:n]))
        parents = {parent.number: parent for parent in scene.parents}
        made: dict[frozenset[Edit], tuple[float, Move]] = {}
        for row in best:
            move, promise = lengthen(insight, parents[samples.parents[row]], samples, row)
            made.setdefault(frozenset(move.script), (promise + float(samples.log_prior[row]), move))
        return tuple(move for _, move in sorted(made.values(), key=lambda each: -each[0])[:n])

    def _improve(self, successor: Observation) -> None:
        rollout = roll_out(self.network, self._window, successor, centre=self.memory.overall.mean)
        improve(self.network, self._optimizer, rollout)
        self._due = False

    def steps(self, view: View, trials: Sequence[Tried]) -> list[Step]:
        """Return trials of one view as transitions of the network's own making, before it learns from them."""
        rows = {each: row for row, each in enumerate(zip(view.options.parents, view.options.edits, strict=True))}
        known = [trial for trial in trials if (trial.parent, trial.script[0]) in rows]
        picked = tuple(rows[trial.parent, trial.script[0]] for trial in known)
        before = [picked[:i] for i in range(len(picked))]
        blocked = block((len(picked), len(rows)), before)
        log_probs = renormalise(self.log_probs(view.observation).expand(blocked.shape), blocked)
        return [
            Step(view.observation, row, before[i], float(log_probs[i, row]), known[i].reward_total)
            for i, row in enumerate(picked)
        ]
