"""Walks whose reward has the terms that read sources: each script is rendered, and its program compared with those that ran before it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import TYPE_CHECKING

from graph.archive import Archive
from graph.complexity import complexity
from harness.landscape.walk import Walk
from harness.reward import reward_of
from harness.sources import open_sources
from harness.values import Status
from mutator.edit import EditError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from harness.landscape.landscape import Landscape
    from harness.values import Reward, Verdict
    from mutator.code import Code
    from mutator.edit import Edit
    from targets.wishes import Weights


@dataclass(kw_only=True)
class ReadingWalk(Walk):
    """A campaign on a landscape that stands on these sources."""

    code: Code
    weights: Weights
    _archive: Archive = field(default_factory=Archive)

    def __post_init__(self) -> None:
        super().__post_init__()
        unedited = self.code.snapshot.mutable
        self._first = complexity(unedited)
        self._archive.add(unedited)

    def reward(self, script: Sequence[Edit], verdict: Verdict, status: Status) -> Reward:
        """Reward a script of the unedited target; its program is known from then on, if it ran.

        Invented tasks know no conflicts of edits: where there is no program nothing can be read.
        """
        if status is not Status.OK:
            return super().reward(script, verdict, status)
        try:
            files = self.code.edited(*script).mutable
        except EditError:
            return super().reward(script, verdict, status)
        novelty, grown = self._archive.novelty(files), complexity(files) - self._first
        self._archive.add(files)
        return reward_of(verdict, novelty=novelty, complexity=grown, weights=self.weights)


def reading(target: str, weights: Weights) -> Callable[[Landscape, int, int], Walk]:
    """Return what begins such a walk on the edits of a target."""
    return partial(ReadingWalk, code=_code(target), weights=weights)


@lru_cache
def _code(target: str) -> Code:
    return open_sources(target).unrestricted
