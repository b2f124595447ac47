"""Regularised evolution: change the best of a few of the youngest programs, and let the oldest die, however good they are.

What was lucky once does not stay for ever: dying of age is what keeps noise from deciding, in place of confirmations.

Source: Real et al. 2019 (arXiv:1802.01548), algorithm 1. Theirs starts from random architectures and mutates by replacing; ours starts from
the unedited program, which a person tuned, adds edits, and replaces by taking one back. Hyper-parameters: docs/benchmark.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from policy.draw import open_stream
from policy.lineage import Lineage
from policy.protocol import Move
from policy.random import pick_by_prior
from policy.tally import identify

if TYPE_CHECKING:
    from collections.abc import Container, Sequence
    from random import Random

    from mutator.edit import Edit
    from policy.protocol import Scene, Tried

POPULATION = 20
TOURNAMENT = 5
DROP = 0.1  # share of the moves that take an edit back instead of adding one
_ATTEMPTS = 20  # at a program that is new, before any edit that is left will do


class EvolutionPolicy:
    """The population are the youngest measured programs; before it is full, moves start from the unedited one."""

    def __init__(
        self, seed: int, *, population: int = POPULATION, tournament: int = TOURNAMENT, drop: float = DROP
    ) -> None:
        self._seed, self._population, self._tournament, self._drop = seed, population, tournament, drop
        self._lineage = Lineage()
        self._roots: dict[object, Edit] = {}  # the unedited program's edits, as it names them

    def propose(self, scene: Scene, n: int) -> tuple[Move, ...]:
        """Pick at most n different moves."""
        self._read_roots(scene)
        moves: dict[Move, None] = {}
        for number in range(scene.number, scene.number + n):
            stream = open_stream(self._seed, "evolution", number)
            attempts = (self._mutate(scene, stream) for _ in range(_ATTEMPTS))
            new = (
                each
                for each in attempts
                if each and self._lineage.is_new(each.parent, each.script) and each not in moves
            )
            move = next(new, None) or _any_other(scene, moves)
            moves |= {move: None} if move is not None else {}
        return tuple(moves)

    def feedback(self, trials: Sequence[Tried]) -> None:
        """Let the measured programs be born."""
        for trial in trials:
            self._lineage.add(trial)

    def recover(self, scenes: Sequence[Scene], trials: Sequence[Tried]) -> None:
        """Let the programs be born again; proposing leaves no other trace than the unedited program's edits."""
        for scene in scenes[:1]:
            self._read_roots(scene)
        self.feedback(trials)

    def _read_roots(self, scene: Scene) -> None:
        if not self._roots:
            self._roots = {identify(edit): edit for edit in scene.parents[0].edits}

    def _mutate(self, scene: Scene, stream: Random) -> Move | None:
        """Pick a parent and change it; None where it offers no edit."""
        leads = self._lineage.leads
        parents = {parent.number: parent for parent in scene.parents if parent.number in leads}
        youngest = [number for number in leads if number in parents][-self._population :]
        full = len(youngest) == self._population
        rivals = [stream.choice(youngest) for _ in range(self._tournament)] if full else [0]
        parent = parents[max(rivals, key=leads.__getitem__)]
        shorter = self._shorten(parent.script, stream) if stream.random() < self._drop else ()
        if len(shorter) > 1 or (shorter and shorter[0] in scene.parents[0].edits):
            return Move(0, shorter)
        edits = parent.edits
        return Move(parent.number, (pick_by_prior(edits, scene.priors, stream),)) if edits else None

    def _shorten(self, script: Sequence[Edit], stream: Random) -> tuple[Edit, ...]:
        """Take one edit back; nothing where the rest cannot be said of the unedited program, or is empty."""
        dropped = stream.randrange(max(1, len(script)))
        rest = [self._roots.get(identify(edit)) for i, edit in enumerate(script) if i != dropped]
        found = tuple(edit for edit in rest if edit is not None)
        return found if len(found) == len(rest) else ()


def _any_other(scene: Scene, moves: Container[Move]) -> Move | None:
    """Return an edit of the youngest program that has one left."""
    left = (Move(parent.number, (edit,)) for parent in reversed(scene.parents) for edit in parent.edits)
    return next((move for move in left if move not in moves), None)
