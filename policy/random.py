"""The random policy: what every other policy has to beat."""

from __future__ import annotations

from typing import TYPE_CHECKING

from policy.draw import open_stream
from policy.protocol import Move

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from random import Random

    from mutator.edit import Edit
    from policy.protocol import Scene, Tried


class RandomPolicy:
    """Over the kinds by their priors, then uniform over the edits of the kind: many sites give a kind no more trials."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def propose(self, scene: Scene, n: int) -> tuple[Move, ...]:
        """Pick at most n different edits of the incumbent."""
        left = list(scene.edits)
        picked: list[Edit] = []
        for number in range(scene.number, scene.number + min(n, len(left))):
            picked.append(pick_by_prior(left, scene.priors, open_stream(self._seed, "random", number)))
            left.remove(picked[-1])
        return tuple(Move(scene.incumbent.number, (edit,)) for edit in picked)

    def feedback(self, trials: Sequence[Tried]) -> None:
        """Learn nothing."""

    def recover(self, scenes: Sequence[Scene], trials: Sequence[Tried]) -> None:
        """Need nothing: the state is the seed."""


def pick_by_prior(edits: Sequence[Edit], priors: Mapping[str, float], stream: Random) -> Edit:
    """Pick a kind by its prior, 1 where none is given, then one of its edits. The edits are not empty."""
    kinds = sorted({edit.kind for edit in edits})
    (kind,) = stream.choices(kinds, [priors.get(kind, 1.0) for kind in kinds])
    return stream.choice([edit for edit in edits if edit.kind == kind])
