"""The random policy: what every other policy has to beat."""

from __future__ import annotations

from typing import TYPE_CHECKING

from policy.draw import open_stream

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from random import Random

    from mutator.edit import Edit
    from policy.protocol import Scene, Tried


class RandomPolicy:
    """Uniform over the kinds, then over the edits of the kind: a kind with many sites gets no more trials than the others."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def propose(self, scene: Scene, n: int) -> tuple[Edit, ...]:
        """Pick at most n different edits out of scene.edits."""
        left = list(scene.edits)
        picked: list[Edit] = []
        for number in range(scene.number, scene.number + min(n, len(left))):
            picked.append(pick_uniformly(left, open_stream(self._seed, "random", number)))
            left.remove(picked[-1])
        return tuple(picked)

    def feedback(self, trials: Sequence[Tried]) -> None:
        """Learn nothing."""

    def recover(self, history: Iterable[tuple[Scene, Sequence[Tried]]]) -> None:
        """Need nothing: the state is the seed."""


def pick_uniformly(edits: Sequence[Edit], stream: Random) -> Edit:
    """Pick a kind, then one of its edits. The edits are not empty."""
    kind = stream.choice(sorted({edit.kind for edit in edits}))
    return stream.choice([edit for edit in edits if edit.kind == kind])
