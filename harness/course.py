"""The course of a campaign, walked once more over its ledger as a resume walks it: what each trial was proposed on.

Nothing in the campaign is written. What edits a program has, and how much a kind is preferred, is by the manifest as it is now; the ledger
has a digest of what it said then (`Settings.manifest`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from graph.snapshot import Snapshot
from harness.objects import ObjectStore
from harness.programs import Programs
from harness.record import Proposal
from harness.values import TrialError
from harness.verdict import most_cost, noise_of
from harness.wishes import priors_of
from policy.protocol import Scene
from targets.manifest import load_target

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.programs import Program
    from harness.record import Record
    from harness.values import Trial
    from targets.manifest import Target


class Unwritten(ObjectStore):
    """A store that a replay reads and does not write."""

    def __init__(self, folder: Path, root: str) -> None:
        """Know the commit of the unedited program."""
        super().__init__(folder)
        self._root = root

    def commit(self, *_: object, **__: object) -> str:
        """Say what the only commit of a replay, the unedited program, is."""
        return self._root

    def mark_best(self, commit: str) -> None:
        """Leave the reference where it is."""


@dataclass(frozen=True, slots=True)
class Course:
    """What a campaign's policy was shown."""

    target: Target  # as its manifest is now
    scenes: tuple[Scene, ...]  # one for each proposal, in the order of their numbers
    incumbent: Program  # at the end


def walk(folder: Path, record: Record) -> Course:
    """Walk the course of the campaign in a folder.

    Raises: TrialError: it has no trial, or the ledger tells of one out of turn. TargetError: its target is not there any more.
    """
    if not record.proposals:
        raise TrialError(f"{folder}: has no trial yet; let it run")
    target = load_target(Path(record.settings.target))
    unedited = ObjectStore(folder).first(record.proposals[0].commit)
    store = Unwritten(folder, unedited)
    programs = Programs(target, store, root=Snapshot(store.files(unedited), frozenset(target.frozen)))
    programs.begin(record.baseline)
    priors, proposals = priors_of(target), {proposal.number: proposal for proposal in record.proposals}
    costliest = most_cost(noise_of(record.baseline), target.limits)
    scenes, n_fed = list[Scene](), 0
    for trial in _in_turn(folder, record):
        if isinstance(trial, Proposal):
            scenes.append(
                Scene(
                    programs.incumbent, programs.known, trial.number, record.settings.n_trials, n_fed, priors, costliest
                )
            )
            programs.edit_again(trial)
        else:
            programs.absorb(trial, proposals[trial.number].promises)
            n_fed = trial.number
    return Course(target, tuple(scenes), programs.incumbent)


def _in_turn(folder: Path, record: Record) -> Iterator[Proposal | Trial]:
    """Yield proposals and judged trials in the order in which the policy proposed and learned."""
    judged = iter(record.trials)
    n_fed = 0
    for proposal in record.proposals:
        while n_fed < proposal.known:
            trial = next(judged, None)
            if trial is None or trial.number != n_fed + 1:
                raise TrialError(f"{folder}: trial {n_fed + 1} was not judged in its turn; see `codegraft verify`")
            n_fed = trial.number
            yield trial
        yield proposal
    yield from judged
