"""The ppo policy: a transformer that samples typed edits, beside a surrogate, and learns from every trial.

A trial's old log-probability is not stored by `propose` but computed by `feedback`, before it changes a parameter. So what the policy
becomes is a function of its seed and of (scene, trials) alone, and to recover is to take feedback without proposing.
Bit for bit the same numbers come out of the same torch with the same number of threads.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from policy.checkpoint import read_checkpoint, write_checkpoint
from policy.draw import draw_without_replacement, open_stream
from policy.learn import Step, block, improve, renormalise, roll_out
from policy.memory import Memory
from policy.network import EditNetwork, collate
from policy.observe import observe
from policy.protocol import Move, PolicyError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torch import Tensor

    from mutator.edit import Edit
    from policy.observe import Observation
    from policy.protocol import Scene, Tried

TEMPERATURE = 0.5
LEARNING_RATE = 1e-4
WINDOW = 32  # trials that an update learns from


class PpoPolicy:
    """Samples its network at a temperature, which is part of the policy and so of every log-probability."""

    def __init__(self, seed: int, *, temperature: float = TEMPERATURE) -> None:
        self._seed = seed
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(open_stream(seed, "weights", 0).getrandbits(63))
            self._network = EditNetwork(temperature)
        self._optimizer = torch.optim.Adam(self._network.parameters(), lr=LEARNING_RATE, eps=1e-5)
        self._memory = Memory()
        self._window: deque[Step] = deque(maxlen=WINDOW)
        self._pending: dict[int, tuple[Scene, Observation]] = {}  # what was shown, by the first number proposed on it

    def propose(self, scene: Scene, n: int) -> tuple[Move, ...]:
        """Sample at most n different edits of the incumbent, one after the other without replacement."""
        if not scene.edits:
            return ()
        observation = self._remember(scene)
        stream = open_stream(self._seed, "edits", scene.number)
        drawn = draw_without_replacement(self._log_probs(observation).tolist(), n, stream)
        return tuple(Move(scene.incumbent.number, (observation.edits[i],)) for i in drawn)

    def feedback(self, trials: Sequence[Tried]) -> None:
        """Learn from the finished trials of one proposal, in the order of their numbers; later ones may be under way.

        What the policy could not have proposed (another policy did) is remembered, but is no step to learn from.
        Raises: PolicyError: no proposal that waits for feedback began with this trial, or a reward is not finite.
        """
        if not trials:
            return
        number = trials[0].number
        if number not in self._pending:
            raise PolicyError(f"trial {number}: was not proposed since the last feedback; propose first")
        scene, observation = self._pending.pop(number)
        self._window.extend(self._steps(observation, trials))
        for trial in trials:
            self._memory.add(trial, scene.graph)
        if self._window:
            centre = self._memory.overall.mean
            rollout = roll_out(self._network, self._window, self._successor(scene, trials), centre=centre)
            improve(self._network, self._optimizer, rollout)

    def recover(self, scenes: Sequence[Scene], trials: Sequence[Tried]) -> None:
        """Look at the scenes and learn from the trials in the order in which it happened, one trial at a time."""
        shown = deque(scenes)
        for n_known, trial in enumerate((*trials, None)):
            while shown and shown[0].n_known <= n_known:
                self._remember(shown.popleft())
            if trial is not None:
                self.feedback([trial])

    def save(self, path: Path) -> None:
        """Write the weights and the optimizer's state; the campaign's own memory is in its ledger."""
        write_checkpoint(path, self._network, self._optimizer)

    def load(self, path: Path) -> None:
        """Start from the weights and the optimizer's state of a checkpoint.

        Raises: PolicyError: the file is no checkpoint of this network.
        """
        read_checkpoint(path, self._network, self._optimizer)

    def _remember(self, scene: Scene) -> Observation:
        self._pending[scene.number] = scene, self._look(scene, scene.edits)
        return self._pending[scene.number][1]

    def _look(self, scene: Scene, edits: Sequence[Edit]) -> Observation:
        return observe(scene, edits, self._memory, open_stream(self._seed, "options", scene.number))

    def _log_probs(self, observation: Observation) -> Tensor:
        with torch.no_grad():
            return self._network.decide(collate([observation]))[0][0]  # (M,)

    def _steps(self, observation: Observation, trials: Sequence[Tried]) -> list[Step]:
        rows: dict[tuple[Edit, ...], int] = {(edit,): row for row, edit in enumerate(observation.edits)}
        known = [trial for trial in trials if trial.script in rows]
        picked = tuple(rows[trial.script] for trial in known)
        before = [picked[:i] for i in range(len(picked))]
        blocked = block((len(picked), len(rows)), before)
        log_probs = renormalise(self._log_probs(observation).expand(blocked.shape), blocked)
        return [
            Step(observation, row, before[i], float(log_probs[i, row]), known[i].reward_total)
            for i, row in enumerate(picked)
        ]

    def _successor(self, scene: Scene, trials: Sequence[Tried]) -> Observation | None:
        """Look at what comes after these trials, as far as it is known: the same program, with these edits tried."""
        tried = {edit for trial in trials for edit in trial.script}
        left = [edit for edit in scene.edits if edit not in tried]
        number = trials[-1].number + 1
        return self._look(replace(scene, number=number), left) if left and number <= scene.n_trials else None
