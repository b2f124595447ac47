"""What a search policy is: propose edits for a scene, learn from the trials they became, recover from a ledger's history.

Every policy, the learned one and each baseline, is this protocol and nothing else. All randomness is counter-based: it is drawn from
(campaign seed, trial number), so a policy that recovers proposes what the uninterrupted one would have proposed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from graph.code_graph import CodeGraph
    from mutator.edit import Edit


class PolicyError(Exception):
    """A policy that cannot propose, or a checkpoint that does not fit."""


class Tried(Protocol):
    """What a policy sees of a trial; the harness's Trial is one."""

    @property
    def number(self) -> int:
        """From 1."""
        ...

    @property
    def edit(self) -> Edit:
        """What was tried."""
        ...

    @property
    def reward_total(self) -> float:
        """What to learn from; finite."""
        ...

    @property
    def ok(self) -> bool:
        """Whether it was measured."""
        ...

    @property
    def kept(self) -> bool:
        """Whether it became the incumbent."""
        ...


@dataclass(frozen=True, slots=True)
class Scene:
    """What a policy may look at before it proposes."""

    graph: CodeGraph  # of the incumbent
    edits: tuple[Edit, ...]  # the legal edits of the incumbent that were not tried on it yet, in a fixed order
    number: int  # of the first trial to propose
    n_trials: int  # the campaign's length
    n_known: int = 0  # trials that had been fed back when this was shown; the ones between are under way
    priors: Mapping[str, float] = field(
        default_factory=dict
    )  # of kinds: how often to try them before anything is known; else 1


class Policy(Protocol):
    """One search strategy."""

    def propose(self, scene: Scene, n: int) -> tuple[Edit, ...]:
        """Pick at most n different edits out of scene.edits."""
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
