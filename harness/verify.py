"""Whether a campaign is what its ledger says: `codegraft verify` reads everything again and recomputes what follows from what was measured.

Damage is found by digests (events are chained, objects are named by theirs), a forged verdict or reward by judging again, a metric that was
never measured by measuring the best program once more. What it cannot tell: whether somebody rewrote the whole campaign, digests and all,
around measurements of programs that are not the best one. Nothing in the campaign is written.
"""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from graph.snapshot import GraphError, Snapshot
from harness.conclude import Conclusion
from harness.course import Unwritten
from harness.ledger import inspect_ledger
from harness.measure import Runner
from harness.objects import ObjectStore, name_version
from harness.programs import Programs
from harness.replay import plain
from harness.sources import read_target
from harness.values import Scoring, Status, TrialError
from harness.verdict import judge, noise_of
from mutator.edit import EditError, print_script
from targets.manifest import Target, TargetError, Unit, load_target
from targets.wishes import Search

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from harness.record import Proposal, Record
    from harness.values import Outcome, Reward, Trial

_SD = 3.0  # a metric under a budget of time moves; beyond so many sd of the baseline it is another
_CLOSE = 1e-9  # relative: the last digits of exp and asinh are the C library's
_EXACT = frozenset({Unit.STEPS, Unit.TOKENS})


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    name: str
    said: str  # with figures
    faults: tuple[str, ...] = ()


def verify(folder: Path, *, rescores: bool = True) -> Iterator[Check]:
    """Check a campaign, and go on after a fault: all are worth knowing. Raises nothing for what is damaged.

    rescores: train and score the best program again.
    """
    ledger = inspect_ledger(folder)
    yield Check("ledger", f"{ledger.n_events} events, chain unbroken", ledger.faults)
    if ledger.record is None:
        return
    versions = _Versions(ledger.record, ObjectStore(folder))
    yield _carry_out("objects", versions.check_objects)
    yield _carry_out("lineage", versions.check_lineage)
    if not ledger.record.baseline:
        return
    target = Path(ledger.record.settings.target)
    try:
        course = _Course(versions, load_target(target))
    except (TargetError, GraphError) as error:
        yield Check("course", "", (f"edits, verdicts and rewards cannot be recomputed: {error}",))
        return
    course_check = _carry_out("course", course.check)
    yield course_check
    if rescores and not course_check.faults:
        yield _carry_out("best", course.check_best)


def _carry_out(name: str, check: Callable[[], tuple[str, list[str]]]) -> Check:
    """Make whatever a check stumbles over a fault of the campaign."""
    try:
        said, faults = check()
    except Exception as error:  # noqa: BLE001 - a ledger that was written by hand may break anything that reads it
        message = str(error) if isinstance(error, TrialError) else f"{type(error).__name__}: {error}"
        return Check(name, "", (f"cannot be checked: {message}",))
    return Check(name, said, tuple(faults))


class _Versions:
    """The program versions that a ledger names."""

    def __init__(self, record: Record, store: ObjectStore) -> None:
        self.record, self.store = record, store
        self.proposals = {proposal.number: proposal for proposal in record.proposals}

    @property
    def root(self) -> str:
        """The commit of the unedited program.

        Raises: TrialError: it cannot be read.
        """
        if not self.proposals:
            return self.store.marks().get("heads/best", "")
        return self.store.first(min(self.proposals.values(), key=lambda proposal: proposal.number).commit)

    def check_objects(self) -> tuple[str, list[str]]:
        """Hash every object again."""
        seen: dict[str, str] = {}
        faults: list[str] = []
        for who, commit in self._named():
            for name, path, fault in self.store.inspect(commit, seen):
                if fault and not any(name in known for known in faults):
                    faults.append(f"object {name} ({who}, {path or 'the commit'}) {fault}")
        n_versions = len({commit for _, commit in self._named()})
        return f"{len(seen)} objects of {n_versions} versions, every digest right", faults

    def check_lineage(self) -> tuple[str, list[str]]:
        """Compare commits, their parents and the references with the ledger."""
        faults = [*self.store.inspect_files(), *self._marks()]
        commits = {0: self.root, **{trial.number: trial.commit for trial in self.record.trials if trial.ok}}
        for proposal in self.record.proposals:
            with _collecting(faults, f"trial {proposal.number}"):
                files = self.store.files(proposal.commit)
                if Snapshot(files).digest != proposal.snapshot:
                    faults.append(f"trial {proposal.number}: its files are not those of snapshot {proposal.snapshot}")
                edits, parent = print_script(proposal.script), commits[proposal.parent]
                if proposal.commit != name_version(files, parent, edits, time_s=proposal.number):
                    faults.append(f"trial {proposal.number}: commit {proposal.commit} is not that of its edit")
        if self.root and Snapshot(self.store.files(self.root)).digest != self.record.settings.sources:
            faults.append(f"baseline: the files of {self.root} are not those that the campaign began with")
        return f"{len(self.proposals)} trials, parents and references as the ledger says", faults

    def _named(self) -> Iterator[tuple[str, str]]:
        """Yield who is meant and the commit, of all that the ledger or a reference names."""
        for proposal in self.record.proposals:
            yield f"trial {proposal.number}", proposal.commit
        with suppress(TrialError):  # a commit on the way is damaged, and named for its trial
            if root := self.root:
                yield "baseline", root
        if shrunk := self.store.shrunk():
            yield "shrunk", shrunk

    def _marks(self) -> Iterator[str]:
        marks = self.store.marks()
        for number, proposal in self.proposals.items():
            at = marks.pop(f"trials/{number}", None)
            if at != proposal.commit:
                yield f"refs/trials/{number} points at {at or 'nothing'}, the ledger says {proposal.commit}"
        best, incumbent = marks.pop("heads/best", None), self.record.incumbent
        known = {self.root, *(trial.commit for trial in self.record.kept)}
        wanted = {incumbent.commit if incumbent is not None else self.root}
        # A campaign that was killed may have judged a trial and not yet moved the reference: the next session does.
        if self.record.baseline and best not in (wanted if self.record.stop_reason else known):
            yield f"refs/heads/best points at {best or 'nothing'}, the ledger says {min(wanted)}"
        # One version may have been stored and not yet proposed when the campaign was killed.
        extra = sorted(name for name in marks if name.startswith("trials/"))
        if len(extra) > 1:
            yield f"refs/{extra[-1]} and {len(extra) - 1} more are of no trial in the ledger: events are missing"


class _collecting:  # noqa: N801 - reads as a statement
    """Make an error about one thing a fault and go on with the next."""

    def __init__(self, faults: list[str], who: str) -> None:
        self._faults, self._who = faults, who

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> bool:
        if isinstance(error, TrialError | EditError | GraphError):
            self._faults.append(f"{self._who}: {error}")
            return True
        return False


class _Course:
    """The campaign walked once more, from what was measured to what was decided, as a resume does."""

    def __init__(self, versions: _Versions, target: Target) -> None:
        self._record, self._versions, self._target = versions.record, versions, target
        self._changed = read_target(target).digest != versions.record.settings.sources

    def check(self) -> tuple[str, list[str]]:
        """Apply every edit again, judge every trial again, and compare with the ledger."""
        record, faults = self._record, list[str]()
        frozen = frozenset(self._target.frozen)
        root = Snapshot(self._versions.store.files(self._versions.root), frozen)
        store = Unwritten(self._versions.store.folder, self._versions.root)
        # What is forbidden now need not have been forbidden then, and changes no program.
        programs = Programs(self._target.model_copy(update={"search": Search()}), store, root=root)
        programs.begin(record.baseline)
        noise = noise_of(record.baseline)
        judged = {trial.number: trial for trial in record.trials}
        number, n_fed = 1, 0
        while True:
            proposal, trial = self._versions.proposals.get(number), judged.get(n_fed + 1)
            if proposal is not None and proposal.known == n_fed:
                faults += _differing_edit(programs, proposal)
                number += 1
            elif trial is not None and n_fed + 1 < number:
                verdict = judge(trial.outcomes, programs.incumbent.standing, noise, sign=self._target.sign)
                if plain(verdict) != plain(trial.verdict):
                    faults.append(
                        f"trial {trial.number}: verdict {_say(trial)}, but what was measured says {verdict.decision}"
                    )
                made = self._versions.proposals[trial.number]
                reward = programs.reward(made, verdict, record.settings.weights)
                if not _equal(reward, trial.reward):
                    faults.append(f"trial {trial.number}: reward {trial.reward.total:g}, recomputed {reward.total:g}")
                programs.absorb(trial, made.promises)
                n_fed = trial.number
            else:
                break
        if number <= len(record.proposals) or n_fed < len(record.trials):
            faults.append(f"trial {n_fed + 1}: was not proposed or judged in its turn")
        faults += self._shrunk(root)
        note = "; the target's sources have changed since, those of the store were used" if self._changed else ""
        return (
            f"{number - 1} edits applied again, {n_fed} verdicts and rewards recomputed, all as recorded{note}",
            faults,
        )

    def check_best(self) -> tuple[str, list[str]]:
        """Train and score the incumbent, or the baseline where there is none, on its seeds."""
        best, exact = self._record.incumbent, self._target.budget.unit in _EXACT
        who = f"trial {best.number}" if best is not None else "the baseline"
        outcomes = best.outcomes if best is not None else self._record.baseline
        commit = best.commit if best is not None else self._versions.root
        snapshot = Snapshot(self._versions.store.files(commit), frozenset(self._target.frozen))
        room = 0.0 if exact else _SD * noise_of(self._record.baseline).sd
        with Runner(self._target) as runner:
            again = [runner.run(snapshot, outcome.seed, scoring=Scoring.GATE) for outcome in outcomes]
        faults = [fault for pair in zip(outcomes, again, strict=True) if (fault := _differing_run(*pair, room=room))]
        how = "bit for bit" if exact else f"within {room:.2g}: a budget of time is not repeated exactly"
        return f"{who} measured again on {len(outcomes)} seeds, {how}", [f"{who}: {fault}" for fault in faults]

    def _shrunk(self, root: Snapshot) -> Iterator[str]:
        record = self._record
        if record.incumbent is None or not record.finals or record.stop_reason is None:
            return
        shrunk = Conclusion(self._target, record, root).shrunk(record)
        name = name_version(shrunk.files, None, f"{self._target.name}: shrunk") if shrunk is not None else None
        if name is not None and name != self._versions.store.shrunk():
            yield f"refs/heads/shrunk is not the program that the last evaluation leads to, {name}"


def _differing_edit(programs: Programs, proposal: Proposal) -> Iterator[str]:
    """Say where edits that are applied again lead somewhere else than the ledger says."""
    who = f"trial {proposal.number}"
    if proposal.parent not in programs:
        yield f"{who}: was made on trial {proposal.parent}, which was not known then"
        return
    snapshot, fault = programs.edit(proposal.parent, proposal.script)
    if (snapshot.digest, snapshot.promises) != (proposal.snapshot, proposal.promises):
        yield f"{who}: its edit makes {snapshot.digest}, the ledger has {proposal.snapshot}"
    known = next((outcome.status for outcome in proposal.outcomes if not outcome.isolation), None)
    if fault is not None and proposal.outcomes and known is not fault.status:
        yield f"{who}: is {fault.status} ({fault.detail}), the ledger has {proposal.outcomes[0].status}"
    elif fault is None and known is Status.DUPLICATE:
        yield f"{who}: is a duplicate of nothing before it"


def _differing_run(recorded: Outcome, again: Outcome, *, room: float) -> str:
    """Say what differs between a run and its repetition; empty when nothing does."""
    if not again.ok:
        return f"seed {again.seed} ended as {again.status}: {again.detail}"
    pairs: Mapping[str, tuple[float, float]] = {
        "metric": (recorded.metric, again.metric),
        "metric on the second shard": (recorded.second, again.second),
    }
    for name, (before, now) in pairs.items():
        if not math.isnan(before) and abs(before - now) > room:
            return f"seed {again.seed}: the ledger has {name} {before!r}, it measured {now!r}"
    return ""


def _equal(one: Reward, other: Reward) -> bool:
    ours, theirs = dict(one.terms), dict(other.terms)
    return ours.keys() == theirs.keys() and all(
        math.isclose(ours[name], theirs[name], rel_tol=_CLOSE, abs_tol=_CLOSE) for name in ours
    )


def _say(trial: Trial) -> str:
    return f"{trial.verdict.decision} with gain {trial.verdict.gain:g}"
