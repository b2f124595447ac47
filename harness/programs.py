"""The program versions of a campaign: what a move makes of one, whether it is known already, which one stands, how novel one is.

Every measured program may be edited further. Its graph is built and its edits are listed when a policy asks for them, and forgotten
again, the least recently used first: a listing takes a third of a second on bytelm and some megabytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING

from graph.archive import Archive
from graph.build import build_graph
from graph.complexity import complexity
from graph.features import canonical_digest
from graph.snapshot import Snapshot
from harness.reward import reward_of
from harness.sources import read_target
from harness.values import Outcome, Status, status_of
from harness.verdict import incumbent_of
from harness.wishes import forbidden_of
from mutator.code import Code
from mutator.edit import Edit, EditError

if TYPE_CHECKING:
    from collections.abc import Sequence, Set

    from graph.code_graph import CodeGraph
    from harness.objects import ObjectStore
    from harness.record import Proposal
    from harness.values import Reward, Trial, Verdict
    from harness.verdict import Incumbent
    from policy.protocol import Move
    from targets.manifest import Target
    from targets.wishes import Weights

_N_OPEN = 8  # programs whose graphs and edits are kept


@dataclass(frozen=True, slots=True)
class Program:
    """A measured program version and what was tried on it: a policy.protocol.Parent."""

    number: int  # of the trial that made it; 0: the unedited target
    script: tuple[Edit, ...]  # from the unedited target
    commit: str
    outcomes: tuple[Outcome, ...]  # on the seeds of the baseline
    shelf: Shelf = field(repr=False)
    promises: tuple[str, ...] = ()  # what further edits have to keep
    tried: frozenset[Edit] = frozenset()  # each alone

    @property
    def graph(self) -> CodeGraph:
        """Its code graph."""
        return self.shelf.open(self.commit, self.promises).graph

    @property
    def edits(self) -> tuple[Edit, ...]:
        """The legal edits, but for those that a trial has made of this program, each alone."""
        return tuple(edit for edit in self.listed if edit not in self.tried)

    @property
    def listed(self) -> Set[Edit]:
        """The legal edits, in a fixed order."""
        return self.shelf.list_edits(self.commit, self.promises).keys()

    @property
    def standing(self) -> Incumbent:
        """What a trial has to beat while this program stands."""
        return incumbent_of(self.outcomes)

    def apply(self, script: tuple[Edit, ...]) -> Snapshot:
        """Return what a script makes of the program, as one change.

        Raises: EditError: an edit is not legal, or two are in conflict.
        """
        return self.shelf.open(self.commit, self.promises).edited(*script)


class Shelf:
    """Program versions out of the object store as code that can be edited, the last few kept."""

    def __init__(self, store: ObjectStore, target: Target, root: Snapshot) -> None:
        """Know what is closed to edits. Raises: TargetError: the target forbids what the root does not have."""
        self._store, self._frozen, self._protected = store, root.frozen, target.protected
        self._forbidden = forbidden_of(target, root)
        self._latest: CodeGraph | None = None
        self.open = lru_cache(_N_OPEN)(self._open)
        self.list_edits = lru_cache(_N_OPEN)(self._list_edits)

    def read(self, commit: str, promises: tuple[str, ...] = ()) -> Snapshot:
        """Read a program version from the store."""
        return Snapshot(self._store.files(commit), self._frozen, promises=promises)

    def _open(self, commit: str, promises: tuple[str, ...]) -> Code:
        self._latest = build_graph(self.read(commit, promises), previous=self._latest)
        return Code(self._latest, self._protected, forbidden=self._forbidden)

    def _list_edits(self, commit: str, promises: tuple[str, ...]) -> dict[Edit, None]:
        return dict.fromkeys(self.open(commit, promises).edits())


class Programs:
    """All program versions. What it knows follows from the order of the calls, so a replay makes the same of them."""

    def __init__(self, target: Target, store: ObjectStore, *, root: Snapshot | None = None) -> None:
        """Know nothing yet. root: what the search starts from, where that is not what the target's folder holds.

        Raises: TargetError: the target forbids what the root does not have.
        """
        self.root = root or read_target(target)
        self._name, self._store = target.name, store
        self._shelf = Shelf(store, target, self.root)
        self._first = complexity(self.root.mutable)
        self._archive = Archive()
        self._seen = {canonical_digest(self.root.mutable)}
        self._known: dict[int, Program] = {}  # by number
        self._best = 0

    @property
    def known(self) -> tuple[Program, ...]:
        """All measured programs, by number."""
        return tuple(self._known.values())

    @property
    def incumbent(self) -> Program:
        """The program that stands."""
        return self._known[self._best]

    def begin(self, baseline: Sequence[Outcome]) -> None:
        """Know the unedited program from now on; it stands."""
        commit = self._store.commit(self.root.files, None, f"{self._name}: baseline")
        self._archive.add(self.root.mutable)
        self._store.mark_best(commit)
        self._known[0] = Program(0, (), commit, tuple(baseline), self._shelf)

    def __getitem__(self, number: int) -> Program:
        return self._known[number]

    def __contains__(self, number: int) -> bool:
        return number in self._known

    def offers(self, move: Move) -> bool:
        """Whether a move is legal: different edits of a known program; one alone was not tried on it before."""
        program = self._known.get(move.parent)
        return program is not None and is_legal(move.script, program.listed, program.tried)

    def edit(self, parent: int, script: tuple[Edit, ...]) -> tuple[Snapshot, Outcome | None]:
        """Return the edited snapshot, whose script counts as tried from now on; with an outcome if that decides before anything runs."""
        program = self._known[parent]
        self._mark_tried(parent, script)
        try:
            snapshot = program.apply(script)
        except EditError as error:
            unedited = self.read(program.commit, program.promises)
            return unedited, Outcome(Status.FAILED, detail=f"refused: {error}")
        if self._is_known(snapshot):
            return snapshot, Outcome(
                Status.DUPLICATE, detail="the same program up to names and layout was tried before"
            )
        return snapshot, None

    def edit_again(self, proposal: Proposal) -> None:
        """Take note of a proposal that the ledger has already, with what became of it."""
        self._mark_tried(proposal.parent, proposal.script)
        self._is_known(self.read(proposal.commit))

    def read(self, commit: str, promises: tuple[str, ...] = ()) -> Snapshot:
        """Read a program version from the store."""
        return self._shelf.read(commit, promises)

    def reward(self, proposal: Proposal, verdict: Verdict, weights: Weights) -> Reward:
        """Reward a proposal for its verdict and for what its program is beside those that are known."""
        files = self.read(proposal.commit).mutable
        grown = complexity(files) - self._first
        status = status_of(proposal.outcomes)
        novelty = self._archive.novelty(files)
        return reward_of(verdict, novelty=novelty, complexity=grown, status=status, weights=weights)

    def absorb(self, trial: Trial, promises: tuple[str, ...]) -> None:
        """Know a judged trial from now on; one that was kept stands."""
        if not trial.ok:
            return
        self._archive.add(self.read(trial.commit).mutable)
        script = (*self._known[trial.parent].script, *trial.script)
        outcomes = trial.outcomes[: len(self._known[0].outcomes)]  # one more confirms what is too good to be true
        self._known[trial.number] = Program(trial.number, script, trial.commit, outcomes, self._shelf, promises)
        if trial.kept:
            self._store.mark_best(trial.commit)
            self._best = trial.number

    def _mark_tried(self, parent: int, script: tuple[Edit, ...]) -> None:
        if len(script) == 1:
            program = self._known[parent]
            self._known[parent] = replace(program, tried=program.tried | {*script})

    def _is_known(self, snapshot: Snapshot) -> bool:
        digest = canonical_digest(snapshot.mutable)
        known = digest in self._seen
        self._seen.add(digest)
        return known


def is_legal(script: tuple[Edit, ...], listed: Set[Edit], tried: Set[Edit]) -> bool:
    """Whether a script may be tried on a program: different edits that it lists; one alone was not tried on it before."""
    edits = set(script)
    return 0 < len(edits) == len(script) and edits <= listed and not (len(edits) == 1 and edits <= tried)
