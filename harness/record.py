"""A campaign as its ledger tells it: what it was started with, what was proposed, what was decided, why it stopped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from targets.wishes import DEFAULT_WEIGHTS, Weights

if TYPE_CHECKING:
    from harness.values import Outcome, Scoring, Trial
    from mutator.edit import Edit


@dataclass(frozen=True, slots=True)
class Settings:
    """What a campaign was started with; a resume takes them from the ledger."""

    target: str  # absolute path of the target's folder
    sources: str  # digest of the snapshot that the search starts from
    name: str
    metric: str
    direction: str  # minimize | maximize
    policy: str
    seed: int
    n_trials: int
    window: int  # trial n is proposed when trial n - window is judged; so many are under way at most
    replicates: int  # runs of the baseline
    checkpoint: str = ""  # what the policy started from
    stopping: str = "none"  # the rule that ends hopeless runs early
    manifest: str = ""  # digest of what the manifest said
    weights: Weights = DEFAULT_WEIGHTS  # of the reward's terms

    @property
    def sign(self) -> float:
        """What makes a gain of a difference of metrics: positive when better."""
        return 1.0 if self.direction == "maximize" else -1.0


@dataclass(frozen=True, slots=True)
class Proposal:
    """A move that became a program version, with what its runs did so far."""

    number: int
    parent: int  # the trial whose program was edited; 0: the unedited target
    script: tuple[Edit, ...]  # what was edited, all at once
    snapshot: str  # digest of the edited snapshot
    commit: str  # the program version in objects.git
    known: int = 0  # trials that were fed back to the policy before it proposed this one
    promises: tuple[str, ...] = ()  # what later edits of the program have to keep
    outcomes: tuple[Outcome, ...] = ()  # first the search seed, then the confirmations


@dataclass(frozen=True, slots=True)
class Recheck:
    """An incumbent and the baseline on one fresh seed: the gain that no selection has touched."""

    trial: int  # number of the incumbent
    incumbent: Outcome
    baseline: Outcome


@dataclass(frozen=True, slots=True)
class Final:
    """A run of the last evaluation, on a seed that no other run had."""

    trial: int  # number of the incumbent that it is about
    role: str  # baseline, incumbent, shrunk, or "without 2": the incumbent's script without its second edit
    scoring: Scoring  # search: the search-validation split; final: the test
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Record:
    """A campaign as its events tell it. Two records are equal when the same things happened, whenever that was."""

    settings: Settings
    baseline: tuple[Outcome, ...] = ()
    proposals: tuple[Proposal, ...] = ()  # all of them, judged or not, in the order of their numbers
    trials: tuple[Trial, ...] = ()  # the judged ones, in the order of their verdicts
    rechecks: tuple[Recheck, ...] = ()
    finals: tuple[Final, ...] = ()
    stop_reason: str | None = None  # None while the campaign runs, or when it was interrupted

    @property
    def pending(self) -> tuple[Proposal, ...]:
        """The proposals without a verdict: what a resume has to finish first."""
        judged = {trial.number for trial in self.trials}
        return tuple(proposal for proposal in self.proposals if proposal.number not in judged)

    @property
    def kept(self) -> tuple[Trial, ...]:
        """The trials that became the incumbent, one after the other."""
        return tuple(trial for trial in self.trials if trial.kept)

    @property
    def incumbent(self) -> Trial | None:
        """The trial that the next ones are judged against; None while that is the baseline."""
        return self.kept[-1] if self.kept else None

    def lineage(self, number: int) -> tuple[Proposal | Trial, ...]:
        """Return the trials that lead from the unedited target to one of them, oldest first; none for 0."""
        made: dict[int, Proposal | Trial] = {proposal.number: proposal for proposal in self.proposals}
        made |= {trial.number: trial for trial in self.trials}
        chain: list[Proposal | Trial] = []
        while number:
            chain.append(made[number])
            number = chain[-1].parent
        return tuple(reversed(chain))
