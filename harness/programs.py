"""The program versions of a campaign: what an edit makes of one, whether it is known already, which one stands, how novel one is."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
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
from mutator.edit import Edit, EditError
from mutator.protect import protected_slots
from mutator.shipped import default_grammar

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from graph.code_graph import CodeGraph
    from harness.objects import ObjectStore
    from harness.record import Proposal
    from harness.values import Reward, Trial, Verdict
    from harness.verdict import Incumbent
    from targets.manifest import Target


@dataclass
class Program:
    """A program version that edits are made on, the baseline or a kept trial, and what was tried on it."""

    snapshot: Snapshot
    graph: CodeGraph
    commit: str
    standing: Incumbent
    curve: tuple[float, ...]  # of its first run
    protected: frozenset[str]
    edits: tuple[Edit, ...]
    trial: Trial | None = None  # None: the baseline
    tried: set[Edit] = field(default_factory=set)

    @property
    def untried(self) -> tuple[Edit, ...]:
        """The legal edits that no trial has made on this program."""
        return tuple(edit for edit in self.edits if edit not in self.tried)


class Programs:
    """All program versions. What it knows follows from the order of the calls, so a replay makes the same of them."""

    def __init__(self, target: Target, store: ObjectStore, *, root: Snapshot | None = None) -> None:
        """Know nothing yet. root: what the search starts from, where that is not what the target's folder holds."""
        self.root = root or read_target(target)
        self._target, self._store = target, store
        self._first = complexity(self._mutable(self.root.files))
        self._archive = Archive()
        self._seen = {canonical_digest(self._mutable(self.root.files))}
        self._by_digest: dict[str, Program] = {}  # that were the incumbent

    def begin(self, baseline: Sequence[Outcome]) -> Program:
        """Return the unedited program, which is known from now on."""
        commit = self._store.commit(self.root.files, None, f"{self._target.name}: baseline")
        self._archive.add(self._mutable(self.root.files))
        self._store.mark_best(commit)
        return self._program(self.root, commit, baseline)

    def edit(self, program: Program, edit: Edit) -> tuple[Snapshot, Outcome | None]:
        """Return the edited snapshot, which counts as tried from now on; with an outcome if that decides before anything runs."""
        program.tried.add(edit)
        try:
            snapshot = default_grammar().apply(program.graph, edit, protected=program.protected)
        except EditError as error:
            return program.snapshot, Outcome(Status.FAILED, detail=f"refused: {error}")
        if self._is_known(snapshot.files):
            return snapshot, Outcome(
                Status.DUPLICATE, detail="the same program up to names and layout was tried before"
            )
        return snapshot, None

    def edit_again(self, program: Program, proposal: Proposal) -> None:
        """Take note of a proposal that the ledger has already, with what became of it."""
        program.tried.add(proposal.edit)
        self._is_known(self._store.files(proposal.commit))

    def read(self, commit: str) -> Snapshot:
        """Read a program version from the store."""
        return Snapshot(self._store.files(commit), self.root.frozen)

    def reward(self, proposal: Proposal, verdict: Verdict) -> Reward:
        """Reward a proposal for its verdict and for what its program is beside those that are known."""
        files = self._mutable(self._store.files(proposal.commit))
        grown = complexity(files) - self._first
        status = status_of(proposal.outcomes)
        return reward_of(verdict, novelty=self._archive.novelty(files), complexity=grown, status=status)

    def absorb(self, program: Program, trial: Trial) -> Program:
        """Know a judged trial from now on; return the program that stands after it."""
        if trial.ok:
            self._archive.add(self._mutable(self._store.files(trial.commit)))
        if not trial.kept:
            return program
        self._store.mark_best(trial.commit)
        parent = self._by_digest[trial.parent]  # not always the incumbent: another trial may have been kept meanwhile
        edited = default_grammar().apply(parent.graph, trial.edit, protected=parent.protected)
        snapshot = replace(self.read(trial.commit), promises=edited.promises)
        outcomes = trial.outcomes[: len(parent.standing.metrics)]
        return self._program(snapshot, trial.commit, outcomes, previous=program.graph, trial=trial)

    def _program(
        self,
        snapshot: Snapshot,
        commit: str,
        outcomes: Sequence[Outcome],
        *,
        previous: CodeGraph | None = None,
        trial: Trial | None = None,
    ) -> Program:
        graph = build_graph(snapshot, previous=previous)
        protected = protected_slots(graph, self._target.protected)
        edits = tuple(default_grammar().edits(graph, protected=protected))
        standing, curve = incumbent_of(outcomes), outcomes[0].curve
        program = Program(snapshot, graph, commit, standing, curve, protected, edits, trial)
        self._by_digest[snapshot.digest] = program
        return program

    def _is_known(self, files: Mapping[str, bytes]) -> bool:
        digest = canonical_digest(self._mutable(files))
        known = digest in self._seen
        self._seen.add(digest)
        return known

    def _mutable(self, files: Mapping[str, bytes]) -> dict[str, bytes]:
        return {path: data for path, data in files.items() if path not in self.root.frozen}
