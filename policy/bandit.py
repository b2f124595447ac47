"""A bandit: Thompson sampling over what an edit does (its kind) and where (the role of its site), on a greedy climb.

Each arm has a normal belief about the reward of its edits, which starts at what all trials earned on average. A draw from every belief,
the highest one wins, and one of its edits is tried, first one that no program was tried with.

Source: Thompson 1933; Russo et al. 2018 (arXiv:1707.02038), section 4 with normal beliefs. Hyper-parameters: docs/benchmark.md.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from policy.draw import open_stream
from policy.protocol import Move
from policy.tally import Tallies, Tally, identify

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence
    from random import Random

    from graph.model import Node
    from mutator.edit import Edit
    from policy.protocol import Scene, Tried

WIDTH = 1.0  # sd of the belief about an arm without trials
STRENGTH = 1.0  # how many trials the starting belief is worth
BY_ROLE = True  # an arm is a kind at a role; else a kind
_LEAST_PRIOR = 1e-6


class BanditPolicy:
    """Learns from rewards alone, which are bounded below: no crash outweighs what an arm gained."""

    def __init__(self, seed: int, *, width: float = WIDTH, strength: float = STRENGTH, by_role: bool = BY_ROLE) -> None:
        self._seed, self._width, self._strength, self._by_role = seed, width, strength, by_role
        self._arms, self._edits, self._overall = Tallies(), Tallies(), Tally()
        self._nodes: Mapping[str, Node] = {}  # of the unedited target

    def propose(self, scene: Scene, n: int) -> tuple[Move, ...]:
        """Pick at most n different edits of the incumbent."""
        self._nodes = self._nodes or scene.parents[0].graph.nodes
        arms: dict[Hashable, list[Edit]] = {}
        for edit in scene.edits:
            arms.setdefault(self._arm(edit), []).append(edit)
        picked: list[Edit] = []
        for number in range(scene.number, scene.number + n):
            if not arms:
                break
            stream = open_stream(self._seed, "bandit", number)
            draws = {arm: self._draw(arm, stream, scene.priors.get(edits[0].kind, 1.0)) for arm, edits in arms.items()}
            arm = max(draws, key=draws.__getitem__)
            fresh = [edit for edit in arms[arm] if self._edits[identify(edit)].n == 0]
            picked.append(stream.choice(fresh or arms[arm]))
            arms[arm].remove(picked[-1])
            if not arms[arm]:
                del arms[arm]
        return tuple(Move(scene.incumbent.number, (edit,)) for edit in picked)

    def feedback(self, trials: Sequence[Tried]) -> None:
        """Count what the trials earned for their arms."""
        for trial in trials:
            self._overall = self._overall.add(trial)
            for edit in trial.script:
                self._arms.add(self._arm(edit), trial)
                self._edits.add(identify(edit), trial)

    def recover(self, scenes: Sequence[Scene], trials: Sequence[Tried]) -> None:
        """Count the trials; proposing leaves no trace but the unedited target's roles."""
        for scene in scenes[:1]:
            self._nodes = scene.parents[0].graph.nodes
        self.feedback(trials)

    def _arm(self, edit: Edit) -> Hashable:
        node = self._nodes.get(edit.site) if self._by_role else None
        return edit.kind, node.role if node is not None else ""

    def _draw(self, arm: Hashable, stream: Random, prior: float) -> float:
        """Draw from the belief about an arm; a kind that should be tried rarely at first starts lower."""
        tally = self._arms[arm]
        weight = tally.n + self._strength
        start = self._overall.mean + self._width * math.log(max(prior, _LEAST_PRIOR))
        return (self._strength * start + tally.total) / weight + self._width * stream.gauss() / math.sqrt(weight)
