"""What an exporter reads: a campaign as a row of entries, the baseline first, and when each thing happened.

The record says what happened and the time stamps of the events say when; this is the one place outside of the ledger that reads its
table. The record is read first, so every entry has its moments, also while another process writes; moments that came later are unused.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import cached_property
from statistics import fmean
from typing import TYPE_CHECKING
from urllib.parse import quote

from harness.ledger import LEDGER_FILE, read_record
from harness.objects import OBJECTS_FOLDER, ObjectStore
from harness.values import Status, TrialError, status_of
from mutator.edit import print_script

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from harness.record import Final, Recheck, Record
    from harness.values import Outcome, Reward, Verdict
    from mutator.edit import Edit

BASELINE = 0  # the number of the baseline among the entries; trials count from 1


@dataclass(frozen=True, slots=True)
class Moment:
    """When an event was written."""

    ts: float  # seconds since 1970
    type: str
    number: int  # of the trial; BASELINE where the event is about none
    index: int  # of the run; of events of one type about one trial that name none, their count


@dataclass(frozen=True, slots=True)
class Entry:
    """One trial, judged or not; or the baseline, which has no edits and no verdict."""

    number: int
    parent: Entry | None = field(repr=False, compare=False)  # what was edited; None for the baseline
    script: tuple[Edit, ...]
    snapshot: str
    commit: str  # empty when the object store does not say it
    outcomes: tuple[Outcome, ...]
    verdict: Verdict | None = None
    reward: Reward | None = None
    best: float = math.nan  # metric of the incumbent after this entry; NaN while there is none

    @property
    def settled(self) -> bool:
        """Whether nothing more will happen to it; the baseline settles with its first run."""
        return self.verdict is not None if self.script else bool(self.outcomes)

    @property
    def uri(self) -> str | None:
        """Its edits on one line; None for the baseline."""
        return print_script(self.script) or None

    @property
    def status(self) -> Status | None:
        """The status of the first run that was not ok, or ok; None before any run."""
        return status_of(self.outcomes) if self.outcomes else None

    @property
    def metric(self) -> float:
        """What it measured: a verdict's metric, or the baseline's mean; NaN where a run failed."""
        if self.verdict is not None:
            return self.verdict.metric
        is_measured = not self.script and self.status is Status.OK
        return fmean(outcome.metric for outcome in self.outcomes) if is_measured else math.nan


@dataclass(frozen=True, slots=True)
class TimedRun:
    """One run of a campaign, whatever it was for."""

    role: str  # baseline, trial, recheck or final, with what was run
    entry: Entry  # that it is about
    index: int  # among the entry's runs of that kind
    outcome: Outcome
    ts: float | None  # when it was written down, in seconds since 1970


@dataclass(frozen=True)
class History:
    """A campaign, ready to be written in another format."""

    name: str  # of the campaign's folder
    record: Record
    moments: tuple[Moment, ...]
    root: str  # commit of the unedited program; empty when the object store does not say it

    @property
    def baseline(self) -> Entry:
        """The unedited program, as entry 0."""
        entry = Entry(BASELINE, None, (), self.record.settings.sources, self.root, self.record.baseline)
        return replace(entry, best=entry.metric)

    @cached_property
    def entries(self) -> tuple[Entry, ...]:
        """The baseline and all trials by their numbers, those without a verdict too."""
        judged = {trial.number: (trial.verdict, trial.reward) for trial in self.record.trials}
        best = dict(self._bests())
        entries = {BASELINE: self.baseline}
        for each in self.record.proposals:
            made = (each.number, entries[each.parent], each.script, each.snapshot, each.commit, each.outcomes)
            verdict, reward = judged.get(each.number, (None, None))
            entries[each.number] = Entry(*made, verdict, reward, best.get(each.number, math.nan))
        return tuple(entries.values())

    @property
    def settled(self) -> tuple[Entry, ...]:
        """The entries to which nothing more will happen."""
        return tuple(entry for entry in self.entries if entry.settled)

    def rechecks(self, entry: Entry) -> tuple[Recheck, ...]:
        """Return the later looks at an incumbent."""
        return tuple(each for each in self.record.rechecks if each.trial == entry.number)

    def finals(self, entry: Entry) -> tuple[Final, ...]:
        """Return the runs of the last evaluation of an incumbent."""
        return tuple(each for each in self.record.finals if each.trial == entry.number)

    def runs(self) -> Iterator[TimedRun]:
        """Walk all runs, by the trial that they are about."""
        for entry in self.entries:
            number, (role, event) = entry.number, ("trial", "run") if entry.script else ("baseline", "baseline")
            for index, outcome in enumerate(entry.outcomes):
                yield TimedRun(role, entry, index, outcome, self.when(event, number, index))
            for index, recheck in enumerate(self.rechecks(entry)):
                ts = self.when("rechecked", number, index)
                yield TimedRun("recheck incumbent", entry, index, recheck.incumbent, ts)
                yield TimedRun("recheck baseline", entry, index, recheck.baseline, ts)
            for index, final in enumerate(self.finals(entry)):
                role = f"final {final.role} on {final.scoring.value}"
                yield TimedRun(role, entry, index, final.outcome, self.when("final", number, index))

    def began(self, entry: Entry) -> float | None:
        """Return when an entry began, in seconds since 1970: when it was proposed, or the campaign was started."""
        return self.when("proposed", entry.number) if entry.script else self.when("campaign")

    def ended(self, entry: Entry) -> float | None:
        """Return when an entry ended: with its verdict, or the baseline's last run; None before."""
        if entry.script:
            return self.when("judged", entry.number)
        return self.when("baseline", index=len(entry.outcomes) - 1)

    def when(self, type_: str, number: int = BASELINE, index: int = 0) -> float | None:
        """Return when an event was written, in seconds since 1970; None when there is no such event."""
        return self._when.get((type_, number, index))

    @cached_property
    def _when(self) -> dict[tuple[str, int, int], float]:
        return {(moment.type, moment.number, moment.index): moment.ts for moment in self.moments}

    def _bests(self) -> Iterator[tuple[int, float]]:
        """Walk the verdicts in their order with the incumbent's metric after each."""
        best = self.baseline.metric
        for trial in self.record.trials:
            best = trial.metric if trial.kept else best
            yield trial.number, best


def read_history(folder: Path) -> History:
    """Read a campaign, also while another process writes it.

    Raises: TrialError: the folder holds no campaign, or its ledger or its object store is damaged.
    """
    record = read_record(folder)
    return History(folder.resolve().name, record, tuple(_read_moments(folder)), _find_root(folder, record))


def _read_moments(folder: Path) -> Iterator[Moment]:
    path = folder / LEDGER_FILE
    counts: Counter[tuple[str, int]] = Counter()
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=ro", uri=True)) as connection:
            for ts, type_, text in connection.execute("SELECT ts, type, body FROM events ORDER BY seq"):
                body = json.loads(text)
                number = body.get("proposal", body).get("number", body.get("trial", BASELINE))
                yield Moment(ts, type_, number, body.get("index", counts[type_, number]))
                counts[type_, number] += 1
    except sqlite3.Error as error:
        raise TrialError(f"{path}: {error}; check the disk, or restore a copy of the campaign") from error


def _find_root(folder: Path, record: Record) -> str:
    """Follow a trial to the program that has no parent; before the first trial that is the best one."""
    store, best = ObjectStore(folder), folder / OBJECTS_FOLDER / "refs" / "heads" / "best"
    if record.proposals:
        commit = record.proposals[0].commit
    elif best.is_file():
        commit = best.read_text(encoding="ascii", errors="replace").strip()
    else:
        return ""
    return store.first(commit)
