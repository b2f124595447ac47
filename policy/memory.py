"""Memory: what the trials of a campaign told so far, as tallies, as rows for the network, and as points for the surrogate."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from policy.content import (
    CHOICE_WIDTH,
    CODE_WIDTH,
    EDIT_WIDTH,
    MAGNITUDE,
    NUMBER_WIDTH,
    SITE_WIDTH,
    encode_edits,
    encode_word,
)
from policy.surrogate import Points, fit_surrogate
from policy.tally import Tallies, Tally, identify

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from graph.code_graph import CodeGraph
    from mutator.edit import Edit
    from policy.content import Rows
    from policy.protocol import Tried
    from policy.surrogate import Belief, Surrogate

TRIAL_WIDTH = EDIT_WIDTH + 3

# How much the parts of an edit count in the surrogate's distances; two different codes are 2 * weight^2 apart.
_KIND_WEIGHT, _SITE_WEIGHT, _SLOT_WEIGHT, _WORD_WEIGHT, _NUMBER_WEIGHT = 0.5, 0.5, 0.5, 0.5, 1.0
_DRIFT_WEIGHT = 0.15  # per kept edit: the program that an old trial edited is not the incumbent any more
_CONTENT_WEIGHTS = np.repeat(
    np.array([_KIND_WEIGHT, _SITE_WEIGHT, _WORD_WEIGHT, _NUMBER_WEIGHT], np.float32),
    [CODE_WIDTH, SITE_WIDTH, CODE_WIDTH, NUMBER_WIDTH],
)
_POINT_WIDTH = CODE_WIDTH + 1 + EDIT_WIDTH


class Memory:
    """Grows by one trial at a time; equal trials in equal order make equal memories."""

    def __init__(self) -> None:
        self.overall = Tally()
        self.kinds, self.sites, self.edits = Tallies(), Tallies(), Tallies()  # by kind, by slot, by `identify`
        self._trials: list[Rows] = []  # (TRIAL_WIDTH,) per edit, oldest first
        self._points: list[Rows] = []  # (_POINT_WIDTH,) each
        self._rewards: list[float] = []
        self._surrogate: Surrogate | None = None  # fitted to all trials, once someone asked

    def add(self, trial: Tried, graph: CodeGraph) -> None:
        """Remember a trial of edits of this graph: each is told what all of them earned.

        Raises: PolicyError: the reward is not finite.
        """
        result = np.array([squash(trial.reward_total), trial.ok, trial.kept], np.float32)
        content = encode_edits(graph, trial.script)
        points = self._locate(trial.script, content)
        self.overall = self.overall.add(trial)
        self._points += list(points)
        self._trials += [np.append(row, result) for row in content]
        self._rewards += [trial.reward_total] * len(trial.script)
        for edit in trial.script:
            self.kinds.add(edit.kind, trial)
            self.sites.add(edit.site, trial)
            self.edits.add(identify(edit), trial)
        self._surrogate = None

    def recall(self, n: int) -> Rows:
        """Return the last n trials, newest first: (at most n, TRIAL_WIDTH)."""
        newest = self._trials[-n:][::-1]
        return np.array(newest, np.float32).reshape(len(newest), TRIAL_WIDTH)

    def believe(self, edits: Sequence[Edit], content: Rows) -> Belief:
        """Return what the surrogate thinks of these edits, given their content (M, EDIT_WIDTH)."""
        if self._surrogate is None:
            tried = np.array(self._points, np.float32).reshape(len(self._points), _POINT_WIDTH)
            self._surrogate = fit_surrogate(_as_points(tried), torch.tensor(self._rewards, dtype=torch.float64))
        return self._surrogate.predict(_as_points(self._locate(edits, content)))

    def _locate(self, edits: Sequence[Edit], content: Rows) -> Rows:
        """Return the surrogate's rows (M, _POINT_WIDTH): slot, number of edits kept before, and weighted content."""
        codes = {slot: encode_word(slot) for slot in {edit.site for edit in edits}}
        slots = np.stack([codes[edit.site] for edit in edits]) * np.float32(_SLOT_WEIGHT)
        drift = np.full((len(edits), 1), self.overall.n_kept * _DRIFT_WEIGHT, np.float32)
        return np.concatenate([slots, drift, content * _CONTENT_WEIGHTS], axis=1)


def squash(reward: float) -> float:
    """Return a reward as a network input of order one."""
    return max(-4.0, min(4.0, reward / 2))


def _as_points(rows: Rows) -> Points:
    tensor: Tensor = torch.from_numpy(rows).double()
    return Points(tensor[:, :-CHOICE_WIDTH], tensor[:, -CHOICE_WIDTH:], tensor[:, MAGNITUDE] / _NUMBER_WEIGHT)
