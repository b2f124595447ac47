"""Memory: what the trials of a campaign told so far, as tallies and as rows for the network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from policy.content import EDIT_WIDTH, encode_edits
from policy.tally import Tallies, Tally, identify

if TYPE_CHECKING:
    from graph.code_graph import CodeGraph
    from policy.content import Rows
    from policy.protocol import Tried

TRIAL_WIDTH = EDIT_WIDTH + 3


@dataclass(frozen=True, slots=True)
class Recalled:
    """One edit of a trial."""

    number: int  # of the trial
    kind: str
    site: str
    row: Rows  # (TRIAL_WIDTH,) what it is, and what its trial earned


class Memory:
    """Grows by one trial at a time; equal trials in equal order make equal memories."""

    def __init__(self) -> None:
        self.overall = Tally()
        self.kinds, self.sites, self.edits = Tallies(), Tallies(), Tallies()  # by kind, by slot, by `identify`
        self._trials: list[Recalled] = []  # oldest first

    def add(self, trial: Tried, graph: CodeGraph) -> None:
        """Remember a trial of edits of this graph: each is told what all of them earned.

        Raises: PolicyError: the reward is not finite.
        """
        result = np.array([squash(trial.reward_total), trial.ok, trial.kept], np.float32)
        self.overall = self.overall.add(trial)
        for edit, content in zip(trial.script, encode_edits(graph, trial.script), strict=True):
            self._trials.append(Recalled(trial.number, edit.kind, edit.site, np.append(content, result)))
            self.kinds.add(edit.kind, trial)
            self.sites.add(edit.site, trial)
            self.edits.add(identify(edit), trial)

    def recall(self, n: int) -> list[Recalled]:
        """Return the edits that were tried last, at most n, newest first."""
        return self._trials[-n:][::-1]


def squash(reward: float) -> float:
    """Return a reward as a network input of order one."""
    return max(-4.0, min(4.0, reward / 2))
