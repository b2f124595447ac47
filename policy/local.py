"""Local search: hill-climbing from the incumbent that tries no edit twice while there are new ones, and goes back to where it gained."""

from __future__ import annotations

from typing import TYPE_CHECKING

from policy.draw import open_stream
from policy.protocol import Move
from policy.random import pick_by_prior
from policy.tally import Tallies, identify

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from random import Random

    from mutator.edit import Edit
    from policy.protocol import Scene, Tried

EXPLORATION = 0.2  # share of the trials that ignore what was learned


class LocalPolicy:
    """Greedy in the mean reward of an edit's kind plus that of its site; an untried one counts as a change that does nothing."""

    def __init__(self, seed: int, *, exploration: float = EXPLORATION) -> None:
        self._seed, self._exploration = seed, exploration
        self._kinds, self._sites, self._edits = Tallies(), Tallies(), Tallies()

    def propose(self, scene: Scene, n: int) -> tuple[Move, ...]:
        """Pick at most n different edits of the incumbent, first those that were tried on no program."""
        edits = scene.edits
        fresh = [edit for edit in edits if self._edits[identify(edit)].n == 0]
        stale = [edit for edit in edits if self._edits[identify(edit)].n > 0]
        picked: list[Edit] = []
        for number in range(scene.number, scene.number + min(n, len(edits))):
            left = fresh or stale
            picked.append(self._pick(left, scene.priors, open_stream(self._seed, "local", number)))
            left.remove(picked[-1])
        return tuple(Move(scene.incumbent.number, (edit,)) for edit in picked)

    def feedback(self, trials: Sequence[Tried]) -> None:
        """Count what the trials earned for their kinds, their sites and themselves."""
        for trial in trials:
            for edit in trial.script:
                self._kinds.add(edit.kind, trial)
                self._sites.add(edit.site, trial)
                self._edits.add(identify(edit), trial)

    def recover(self, scenes: Sequence[Scene], trials: Sequence[Tried]) -> None:
        """Count the trials; proposing leaves no trace."""
        self.feedback(trials)

    def _pick(self, edits: Sequence[Edit], priors: Mapping[str, float], stream: Random) -> Edit:
        if stream.random() < self._exploration:
            return pick_by_prior(edits, priors, stream)
        promise = [self._kinds[edit.kind].mean + self._sites[edit.site].mean for edit in edits]
        best = max(promise)
        return pick_by_prior(
            [edit for edit, value in zip(edits, promise, strict=True) if value == best], priors, stream
        )
