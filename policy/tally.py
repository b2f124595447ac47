"""Tallies: what the trials of one kind, one site or one edit have earned so far."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from policy.protocol import PolicyError

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    from mutator.edit import Edit, Scalar
    from policy.protocol import Tried


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts and rewards of some trials. Empty at first; `add` returns the next one."""

    n: int = 0
    n_ok: int = 0
    n_kept: int = 0
    total: float = 0.0
    best: float = 0.0
    last: float = 0.0

    @property
    def mean(self) -> float:
        """The mean reward, with one pseudo-trial that changed nothing (0.0): one lucky trial is not all that we believe."""
        return self.total / (self.n + 1)

    def add(self, trial: Tried) -> Tally:
        """Count one more trial.

        Raises: PolicyError: the reward is not finite.
        """
        reward = trial.reward_total
        if not math.isfinite(reward):
            raise PolicyError(f"trial {trial.number}: its reward is {reward}; give the policy finite rewards only")
        best = reward if self.n == 0 else max(self.best, reward)
        return Tally(self.n + 1, self.n_ok + trial.ok, self.n_kept + trial.kept, self.total + reward, best, reward)


class Tallies:
    """One tally per key, empty for a key without trials."""

    def __init__(self) -> None:
        self._by_key: dict[Hashable, Tally] = {}

    def __getitem__(self, key: Hashable) -> Tally:
        return self._by_key.get(key, Tally())

    @property
    def known(self) -> Mapping[Hashable, Tally]:
        """The tallies of the keys that have trials, the first tried first."""
        return self._by_key

    def add(self, key: Hashable, trial: Tried) -> None:
        """Count one more trial of this key."""
        self._by_key[key] = self[key].add(trial)


def identify(edit: Edit) -> tuple[str, str, tuple[tuple[str, Scalar], ...]]:
    """Name an edit without its anchor: the statement around a site may change while the edit stays the same."""
    return edit.kind, edit.site, edit.choice
