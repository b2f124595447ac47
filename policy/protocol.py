"""What a search policy is: propose moves for a scene, learn from the trials they became, recover from a ledger's history.

Every policy, the learned one and each baseline, is this protocol and nothing else. A move starts at any program that was measured and
makes one or several edits of it; wherever it starts, its trial is judged against the incumbent.

A policy may rely on this: the trials of its moves are fed back to it one proposal after the other, in the order of their numbers, while
later ones are under way; rewards are finite; a program of a scene stays as it was shown, also when the scene is kept; `graph` and `edits`
of a parent are built when they are asked for (a third of a second, the last few are kept) and cost nothing otherwise.
In return, all randomness is counter-based: it is drawn from (campaign seed, trial number), so that a policy that recovers proposes what
the uninterrupted one would have proposed. `policy.testing.check_policy` tries all of this out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from graph.code_graph import CodeGraph
    from mutator.edit import Edit


class PolicyError(Exception):
    """A policy that cannot propose, or a checkpoint that does not fit."""


class Parent(Protocol):
    """A measured program, from which a move may start."""

    @property
    def number(self) -> int:
        """Of the trial that made it; 0: the unedited target."""
        ...

    @property
    def script(self) -> tuple[Edit, ...]:
        """The edits that lead to it from the unedited target, oldest first."""
        ...

    @property
    def graph(self) -> CodeGraph:
        """Its code graph; built when asked for."""
        ...

    @property
    def edits(self) -> tuple[Edit, ...]:
        """Its legal edits, but for those that were tried on it alone, in a fixed order; listed when asked for."""
        ...


@dataclass(frozen=True, slots=True)
class Move:
    """What a policy proposes: edits of one parent, planned together on it.

    One edit alone is one of parent.edits. In a longer script each is legal on the parent, tried alone or not; where two of them are in
    conflict, the trial fails.
    """

    parent: int  # its number
    script: tuple[Edit, ...]  # at least one, no two equal


@dataclass(frozen=True, slots=True)
class Scene:
    """What a policy may look at before it proposes."""

    incumbent: Parent
    parents: tuple[Parent, ...]  # all programs that were measured and fed back, by number: the unedited target is first
    number: int  # of the first trial to propose
    n_trials: int  # the campaign's length
    n_known: int = 0  # trials that had been fed back when this was shown; the ones between are under way
    priors: Mapping[str, float] = field(
        default_factory=dict
    )  # of kinds: how often to try them before anything is known; else 1
    most_cost: float = math.inf  # times the unedited target's; what costs more is not kept

    @property
    def graph(self) -> CodeGraph:
        """The incumbent's graph."""
        return self.incumbent.graph

    @property
    def edits(self) -> tuple[Edit, ...]:
        """The incumbent's edits."""
        return self.incumbent.edits


class Tried(Protocol):
    """What a policy sees of a trial; the harness's Trial is one."""

    @property
    def number(self) -> int:
        """From 1."""
        ...

    @property
    def parent(self) -> int:
        """Number of the program that the move started from."""
        ...

    @property
    def script(self) -> tuple[Edit, ...]:
        """What was tried on it."""
        ...

    @property
    def reward_total(self) -> float:
        """What to learn from; finite."""
        ...

    @property
    def lead(self) -> float:
        """Gain over the unedited target in standard deviations of its replicates, positive when better; NaN when it was not measured."""
        ...

    @property
    def ok(self) -> bool:
        """Whether it was measured: then it is a parent from now on."""
        ...

    @property
    def stopped(self) -> bool:
        """Whether its run was ended early, for what it promised or what it cost: it is not ok, and no crash."""
        ...

    @property
    def repeats(self) -> bool:
        """Whether it made a program that was known, and did not run: it is not ok, and says nothing new."""
        ...

    @property
    def refused(self) -> bool:
        """Whether it is not kept however good it is, because of what it costs or because nobody can trust it."""
        ...

    @property
    def cost(self) -> float:
        """CPU time of a run, whole as it would have been where it was ended, against the unedited target's; NaN where nobody knows."""
        ...

    @property
    def kept(self) -> bool:
        """Whether it became the incumbent."""
        ...


class Policy(Protocol):
    """One search strategy."""

    def propose(self, scene: Scene, n: int) -> tuple[Move, ...]:
        """Pick at most n different moves, none where nothing is left to try; then it is asked again after more feedback."""
        ...

    def feedback(self, trials: Sequence[Tried]) -> None:
        """Learn from the finished trials of one proposal, in the order of their numbers; later ones may be under way."""
        ...

    def recover(self, scenes: Sequence[Scene], trials: Sequence[Tried]) -> None:
        """Take the state that proposing on these scenes, and feedback on these trials, would have led to, both oldest first.

        The scenes of trials that are under way come last; each was shown after `n_known` trials.
        """
        ...


@runtime_checkable
class Learner(Policy, Protocol):
    """A policy with weights that outlive a campaign."""

    def save(self, path: Path) -> None:
        """Write a checkpoint: safetensors, in one step."""
        ...

    def load(self, path: Path) -> None:
        """Start from a checkpoint.

        Raises: PolicyError: the file is none of this policy.
        """
        ...
