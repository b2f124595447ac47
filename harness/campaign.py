"""The campaign loop: baseline, then batches of proposed edits, each trained, judged, rewarded and remembered.

The loop is a function of the target, the settings and what the runs measured. A resume therefore replays the ledger through the same loop:
judged batches teach the policy (`recover`), the first unfinished batch is proposed again, must be what the ledger says, and goes on.
Proposals of a batch share a parent and are judged in the order of their numbers, so n slots and one slot are one engine.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import groupby
from queue import SimpleQueue
from typing import TYPE_CHECKING

from graph.archive import Archive
from graph.build import build_graph
from graph.complexity import Complexity, complexity
from graph.features import canonical_digest
from graph.snapshot import Snapshot
from harness.ledger import Proposal
from harness.lines import baseline_line, noise_line, printed, trial_line
from harness.reward import reward_of
from harness.sources import read_target
from harness.values import Outcome, Status, TrialError
from harness.verdict import Incumbent, Noise, incumbent_of, judge, noise_of, screen
from mutator.edit import Edit, EditError
from mutator.protect import protected_slots
from mutator.shipped import default_grammar
from policy.protocol import Scene

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from graph.code_graph import CodeGraph
    from harness.ledger import Ledger, Record
    from harness.measure import Runner
    from harness.objects import ObjectStore
    from harness.values import Trial
    from policy.protocol import Policy
    from targets.manifest import Target


INTERRUPTED = "interrupted; the same command goes on"


@dataclass
class Program:
    """A program version that edits are made on, the baseline or a kept trial, and what was tried on it."""

    snapshot: Snapshot
    graph: CodeGraph
    commit: str
    standing: Incumbent
    protected: frozenset[str]
    edits: tuple[Edit, ...]
    tried: set[Edit] = field(default_factory=set)

    @property
    def untried(self) -> tuple[Edit, ...]:
        """The legal edits that no trial has made on this program."""
        return tuple(edit for edit in self.edits if edit not in self.tried)


class Campaign:
    """One search over one target. Everything that it knows follows from the ledger."""

    def __init__(self, target: Target, ledger: Ledger, store: ObjectStore, *, announce: Callable[[str], None]) -> None:
        self._target, self._ledger, self._store, self._announce = target, ledger, store, announce
        self._settings = ledger.record.settings
        self._root = read_target(target)
        self._seen = {canonical_digest(self._mutable(self._root))}
        self._archive = Archive()
        self._noise = Noise(0.0, 0.0, 0)
        self._programs: dict[str, Program] = {}  # that were the incumbent, by the digest of their sources
        self._first: Complexity = complexity(self._mutable(self._root))

    def run(self, runner: Runner, policy: Policy) -> Record:
        """Go on until the campaign ends, and say why it did.

        Raises: TrialError: the baseline fails, or the ledger belongs to other sources or another policy.
        """
        self._pool = ThreadPoolExecutor(self._settings.slots)
        try:
            program = self._baseline(runner)
            program = self._recover(program, policy)
            reason = self._search(program, runner, policy)
        except KeyboardInterrupt:
            reason = INTERRUPTED
        finally:
            self._pool.shutdown(wait=False, cancel_futures=True)  # what still runs ends with the runner
        self._ledger.stop(reason)
        return self._ledger.record

    # --- baseline ----------------------------------------------------------------------------------------------------------------

    def _baseline(self, runner: Runner) -> Program:
        """Measure the unedited target on its replicates; one that fails ends the campaign with what it printed."""
        commit = self._store.commit(self._root.files, None, f"{self._target.name}: baseline")
        done = len(self._ledger.record.baseline)
        if not all(outcome.ok for outcome in self._ledger.record.baseline):
            raise TrialError(
                "baseline: failed when this campaign began; repair the target and name another --out folder"
            )
        seeds = range(self._settings.seed + done, self._settings.seed + self._settings.replicates)
        for index, outcome in enumerate(self._pool.map(lambda seed: runner.run(self._root, seed), seeds), start=done):
            self._ledger.add_baseline(index, _carried_out(outcome))
            self._announce(baseline_line(index, self._settings, outcome))
            if not outcome.ok:
                said = f"baseline: {outcome.status} with seed {outcome.seed}: {outcome.detail}"
                self._ledger.stop(said)
                raise TrialError(f"{said}; repair the target first{printed(outcome)}")
        self._noise = noise_of(self._ledger.record.baseline)
        self._archive.add(self._mutable(self._root))
        self._store.mark_best(commit)
        self._announce(noise_line(self._settings, self._noise))
        if self._ledger.record.trials:
            self._announce(f"resuming after {len(self._ledger.record.trials)} of {self._settings.n_trials} trials")
        return self._program(self._root, commit, incumbent_of(self._ledger.record.baseline))

    # --- search ------------------------------------------------------------------------------------------------------------------

    def _recover(self, program: Program, policy: Policy) -> Program:
        """Replay the finished batches of the ledger into the policy; return the program that stands after them."""

        def history() -> Iterator[tuple[Scene, Sequence[Trial]]]:
            nonlocal program
            for batch in self._batches():
                trials = [trials_by_number[p.number] for p in batch if p.number in trials_by_number]
                if len(trials) < len(batch) or self._is_short(batch):
                    return
                yield self._scene(program, batch[0].number), trials
                for trial in trials:
                    program = self._absorb(program, trial)

        trials_by_number = {trial.number: trial for trial in self._ledger.record.trials}
        policy.recover(history())
        return program

    def _search(self, program: Program, runner: Runner, policy: Policy) -> str:
        number = self._next_number()
        while number <= self._settings.n_trials:
            trials = self._batch(program, number, runner, policy)
            if not trials:
                return f"exhausted: every legal edit of the incumbent was tried after {number - 1} trials"
            for trial in trials:
                program = self._absorb(program, trial)
            policy.feedback(trials)
            number = trials[-1].number + 1
        return f"finished: {self._settings.n_trials} trials"

    def _batch(self, program: Program, number: int, runner: Runner, policy: Policy) -> list[Trial]:
        """Propose, run and judge one batch; what the ledger has of it already is taken from there."""
        n_wanted = min(self._batch_end(number), self._settings.n_trials) - number + 1
        edits = policy.propose(self._scene(program, number), n_wanted)
        for offset, edit in enumerate(edits):
            self._register(program, number + offset, edit)
        numbers = range(number, number + len(edits))
        self._run(program, [p for p in self._ledger.record.proposals if p.number in numbers], runner)
        judged = {trial.number: trial for trial in self._ledger.record.trials}
        standing, trials = program.standing, []
        for proposal in (p for p in self._ledger.record.proposals if p.number in numbers):
            trial = judged.get(proposal.number) or self._judge(proposal, standing)
            standing = incumbent_of(trial.outcomes) if trial.kept else standing
            trials.append(trial)
        return trials

    def _register(self, program: Program, number: int, edit: Edit) -> None:
        """Write the edited program to the store, then the proposal to the ledger; a proposal that is there must be the same.

        Raises: TrialError: the ledger has another edit under this number.
        """
        known = next((p for p in self._ledger.record.proposals if p.number == number), None)
        if known is not None:
            if known.edit != edit:
                raise TrialError(
                    f"trial {number}: the ledger has {known.edit.uri}, the policy proposes {edit.uri}; resume with the codegraft that began"
                )
            return
        snapshot, fault = self._edited(program, edit)
        commit = self._store.commit(snapshot.files, program.commit, edit.uri, time_s=number)
        self._store.mark_trial(number, commit)
        self._ledger.add_proposal(Proposal(number, edit, program.snapshot.digest, snapshot.digest, commit))
        if fault is not None:
            self._ledger.add_run(number, 0, fault)

    def _edited(self, program: Program, edit: Edit) -> tuple[Snapshot, Outcome | None]:
        """Return the edited snapshot; with a fault that decides the trial before anything runs."""
        try:
            snapshot = default_grammar().apply(program.graph, edit, protected=program.protected)
        except EditError as error:
            return program.snapshot, Outcome(Status.FAILED, detail=f"refused: {error}")
        digest = canonical_digest(self._mutable(snapshot))
        if digest in self._seen:
            return snapshot, Outcome(
                Status.DUPLICATE, detail="the same program up to names and layout was tried before"
            )
        return snapshot, None

    def _run(self, program: Program, proposals: Sequence[Proposal], runner: Runner) -> None:
        """Run what is missing of a batch, all proposals at the same time, and write each outcome down as it comes."""
        outcomes: SimpleQueue[tuple[int, int, Outcome] | BaseException | None] = SimpleQueue()

        def run_one(proposal: Proposal) -> None:
            try:
                self._run_seeds(program, proposal, runner, outcomes)
                outcomes.put(None)
            except BaseException as error:  # noqa: BLE001 -- carried to the campaign's own thread, which raises it
                outcomes.put(error)

        judged = {trial.number for trial in self._ledger.record.trials}
        futures = [self._pool.submit(run_one, proposal) for proposal in proposals if proposal.number not in judged]
        n_left = len(futures)
        while n_left:
            found = outcomes.get()
            if isinstance(found, BaseException):
                raise found
            if found is None:
                n_left -= 1
            else:
                self._ledger.add_run(*found)

    def _run_seeds(
        self,
        program: Program,
        proposal: Proposal,
        runner: Runner,
        outcomes: SimpleQueue[tuple[int, int, Outcome] | BaseException | None],
    ) -> None:
        """Run the first of the incumbent's seeds, and the others if that looks better."""
        done = list(proposal.outcomes)
        snapshot = Snapshot(self._store.files(proposal.commit), self._root.frozen)
        for index, (seed, _) in enumerate(program.standing.metrics):
            if index == len(done):
                done.append(
                    _carried_out(_screened(runner, snapshot, seed) if not index else runner.run(snapshot, seed))
                )
                outcomes.put((proposal.number, index, done[-1]))
            if not done[-1].ok or (
                index == 0 and not screen(done[0], program.standing, self._noise, sign=self._target.sign)
            ):
                return

    def _judge(self, proposal: Proposal, standing: Incumbent) -> Trial:
        verdict = judge(proposal.outcomes, standing, self._noise, sign=self._target.sign)
        files = {
            path: data for path, data in self._store.files(proposal.commit).items() if path not in self._root.frozen
        }
        reward = reward_of(verdict, novelty=self._archive.novelty(files), complexity=complexity(files) - self._first)
        trial = self._ledger.add_verdict(proposal.number, verdict, reward)
        self._announce(trial_line(trial, self._settings, self._noise))
        return trial

    # --- state -------------------------------------------------------------------------------------------------------------------

    def _absorb(self, program: Program, trial: Trial) -> Program:
        """Remember a judged trial; a kept one is the next program."""
        if trial.parent == program.snapshot.digest:  # not after a keep in the same batch
            program.tried.add(trial.edit)
        files = self._store.files(trial.commit)
        snapshot = Snapshot(files, self._root.frozen)
        self._seen.add(canonical_digest(self._mutable(snapshot)))
        if trial.ok:
            self._archive.add(self._mutable(snapshot))
        if not trial.kept:
            return program
        self._store.mark_best(trial.commit)
        parent = self._programs[trial.parent]  # another than the program after a keep in the same batch
        edited = default_grammar().apply(parent.graph, trial.edit, protected=parent.protected)
        snapshot = replace(snapshot, promises=edited.promises)
        return self._program(snapshot, trial.commit, incumbent_of(trial.outcomes), previous=program.graph)

    def _program(
        self, snapshot: Snapshot, commit: str, standing: Incumbent, *, previous: CodeGraph | None = None
    ) -> Program:
        graph = build_graph(snapshot, previous=previous)
        protected = protected_slots(graph, self._target.protected)
        edits = tuple(default_grammar().edits(graph, protected=protected))
        program = Program(snapshot, graph, commit, standing, protected, edits)
        self._programs[snapshot.digest] = program
        return program

    def _scene(self, program: Program, number: int) -> Scene:
        return Scene(program.graph, program.untried, number, self._settings.n_trials, default_grammar().priors)

    def _mutable(self, snapshot: Snapshot) -> dict[str, bytes]:
        return {path: data for path, data in snapshot.files.items() if path not in snapshot.frozen}

    def _batches(self) -> Iterator[list[Proposal]]:
        """Group the ledger's proposals as they were made: blocks of `slots` numbers on one parent."""
        for _, batch in groupby(self._ledger.record.proposals, lambda p: (self._batch_end(p.number), p.parent)):
            yield list(batch)

    def _batch_end(self, number: int) -> int:
        slots = self._settings.slots
        return -(-number // slots) * slots

    def _is_short(self, batch: Sequence[Proposal]) -> bool:
        """Whether a batch was cut off while it was being proposed: it is the last and could be longer."""
        last = batch[-1].number
        return last == self._ledger.record.proposals[-1].number and last < min(
            self._batch_end(last), self._settings.n_trials
        )

    def _next_number(self) -> int:
        """Return the first number of the first batch that is not finished."""
        judged = {trial.number for trial in self._ledger.record.trials}
        for batch in self._batches():
            if self._is_short(batch) or any(p.number not in judged for p in batch):
                return batch[0].number
        return len(self._ledger.record.proposals) + 1


def _screened(runner: Runner, snapshot: Snapshot, seed: int) -> Outcome:
    """Spend the budget only on a program whose first steps run."""
    smoke = runner.smoke(snapshot, seed).outcome
    return runner.run(snapshot, seed) if smoke.ok or smoke.status is Status.INFRA_ERROR else smoke


def _carried_out(outcome: Outcome) -> Outcome:
    """Let through what a run did; what the machine did to it is no outcome of a trial and is never written down.

    Raises: TrialError: this machine could not run it, also when it was tried once more.
    """
    if outcome.status is Status.INFRA_ERROR:
        raise TrialError(f"this machine cannot run trials: {outcome.detail}; repair that and give the same command")
    return outcome
