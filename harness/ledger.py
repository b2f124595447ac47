"""The ledger: everything that happened in a campaign, as an append-only list of events in one SQLite file.

Events are the truth and the `Record` is their replay; the writer's own record is the replay of what it wrote, so memory and
disk cannot differ. An event survives `kill -9` once its method returns, and the events that end something (`campaign`, `judged`,
`stopped`) survive a power cut, with all before them (measured on SQLite's write-ahead log: 0 of 199,368 acknowledged rows lost
in 60 kills; a synchronous commit costs 4-7 ms). A lock on `campaign.lock` refuses a second writer; the kernel releases it with
the process. Readers need no lock. Local disks only: the write-ahead log does not work on network file systems.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from contextlib import ExitStack, closing, contextmanager
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING, Self
from urllib.parse import quote

from harness.disks import network_of
from harness.replay import Event, State, require
from harness.values import TrialError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from harness.record import Final, Proposal, Recheck, Record, Settings
    from harness.values import Outcome, Reward, Trial, Verdict

LEDGER_FILE = "ledger.db"
LOCK_FILE = "campaign.lock"

_APPLICATION_ID = 0x63677261  # "cgra" in the header of the file: tells a ledger from any other SQLite file
_VERSION = 3  # of the events' shape
_ENDINGS = frozenset({"campaign", "judged", "stopped"})  # synchronous: nothing may be decided twice
_COLUMNS = "seq INTEGER PRIMARY KEY, ts REAL NOT NULL, type TEXT NOT NULL, body TEXT NOT NULL, chain TEXT NOT NULL"


def read_record(folder: Path) -> Record:
    """Read a campaign, also while another process writes it.

    Raises: TrialError: the folder holds no campaign, or its ledger is damaged.
    """
    path = folder / LEDGER_FILE
    with _named(path), closing(_connect(path, mode="ro")) as connection:
        return _replay(connection).record


@dataclass(frozen=True, slots=True)
class Inspection:
    """What a look at a ledger found: the campaign as far as it can be read, and all that is wrong."""

    record: Record | None  # of the events before the first that cannot be; None when that is the first
    n_events: int
    faults: tuple[str, ...]


def inspect_ledger(folder: Path) -> Inspection:
    """Read a ledger as far as it goes, and say all that is wrong with it. Raises nothing for what is damaged."""
    path, state, faults = folder / LEDGER_FILE, State(), list[str]()
    try:
        with _named(path), closing(_open(path, mode="ro")) as connection:
            found = [str(row[0]) for row in connection.execute("PRAGMA integrity_check(20)")]
            faults += [f"{path}: {line}" for text in found for line in text.splitlines() if text != "ok"]
            _replay(connection, state)
    except TrialError as error:
        faults.append(str(error))
    return Inspection(state.record if state.n_events else None, state.n_events, tuple(faults))


class Ledger:
    """The one writer of a campaign's events. A context manager: leaving it releases the campaign."""

    def __init__(self, folder: Path) -> None:
        """Open the ledger of a campaign.

        Raises: TrialError: the folder holds no campaign, its ledger is damaged, or another process writes it.
        """
        self._path = folder / LEDGER_FILE
        with ExitStack() as held, _named(self._path):
            _refuse_network(folder)
            self._connection = held.enter_context(closing(_connect(self._path, mode="rw")))
            held.enter_context(_locked(folder))
            self._state = _replay(self._connection)
            self._held = held.pop_all()

    @classmethod
    def create(cls, folder: Path, settings: Settings) -> Self:
        """Start a campaign in a folder that holds none; the folder is made when it is missing.

        Raises: TrialError: the folder holds a campaign, or cannot be written.
        """
        path = folder / LEDGER_FILE
        with _named(path):
            folder.mkdir(parents=True, exist_ok=True)
            _refuse_network(folder)
            with _locked(folder):
                _write_first_event(path, settings)
        return cls(folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def discard(self) -> None:
        """Delete the campaign's events and release it; for a campaign in which nothing was measured."""
        self._connection.close()
        for suffix in ("", "-wal", "-shm"):
            self._path.with_name(f"{LEDGER_FILE}{suffix}").unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        """Release the campaign to another writer."""
        self._held.close()

    @property
    def record(self) -> Record:
        """The campaign so far."""
        return self._state.record

    def proposal(self, number: int) -> Proposal:
        """Return the proposal of a trial, with what its runs did so far."""
        return self._state.proposals[number]

    def add_baseline(self, index: int, outcome: Outcome) -> None:
        """Record a run of the unedited target; `index` counts from 0."""
        self._append("baseline", index=index, outcome=outcome)

    def add_proposal(self, proposal: Proposal) -> None:
        """Record a move whose program version is in the object store; it has no outcomes yet. Numbers rise, with gaps."""
        self._append("proposed", proposal=proposal)

    def add_run(self, number: int, index: int, outcome: Outcome) -> None:
        """Record run `index`, counted from 0, of a proposal that is not judged."""
        self._append("run", number=number, index=index, outcome=outcome)

    def add_verdict(self, number: int, verdict: Verdict, reward: Reward) -> Trial:
        """Record the one terminal result of a proposal and return the trial that it made."""
        self._append("judged", number=number, verdict=verdict, reward=reward)
        return self._state.trials[number]

    def add_recheck(self, recheck: Recheck) -> None:
        """Record one more look at an incumbent."""
        self._append("rechecked", trial=recheck.trial, incumbent=recheck.incumbent, baseline=recheck.baseline)

    def add_final(self, final: Final) -> None:
        """Record a run of the last evaluation."""
        self._append("final", trial=final.trial, role=final.role, scoring=final.scoring, outcome=final.outcome)

    def stop(self, reason: str) -> None:
        """Record why the campaign ended; a resume may append more."""
        self._append("stopped", reason=reason)

    def _append(self, type_: str, **body: object) -> None:
        """Write one event and replay it; an event that cannot follow the others is refused and leaves no trace.

        Raises: TrialError: the event contradicts the ledger, or the disk refuses it.
        """
        event = Event.after(self._state, time.time(), type_, body)
        with _named(self._path):
            try:
                _insert(self._connection, event, self._state)
            except BaseException:  # Ctrl-C may come between any two lines
                self._connection.rollback()
                self._state = _replay(self._connection)  # the disk decides what happened
                raise


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Turn what SQLite and the system say into one line that names the ledger."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise TrialError(f"{path}: {error}; check the disk, or restore a copy of the campaign") from error
    except TrialError as error:
        raise TrialError(f"{path}: {error}") from error


def _refuse_network(folder: Path) -> None:
    kind = network_of(folder)
    require(not kind, f"lies on {kind}, where a write-ahead log may lose events; use a folder on a local disk")


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the campaign against other writers. The lock ends with this process: no program that it starts inherits it."""
    lock = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise TrialError("another process runs this campaign; wait for it, or stop it") from error
    finally:
        os.close(lock)


def _connect(path: Path, *, mode: str) -> sqlite3.Connection:
    """Open a ledger whose pages are whole.

    Raises: TrialError: there is none, or it is another program's, a newer codegraft's or damaged.
    """
    connection = _open(path, mode=mode)
    try:
        state = str(_pragma(connection, "quick_check"))
        require(state == "ok", f"is damaged ({state.splitlines()[0]}); restore a copy of the campaign")
    except (sqlite3.Error, TrialError):
        connection.close()
        raise
    return connection


def _open(path: Path, *, mode: str) -> sqlite3.Connection:
    """Open a ledger to read (`ro`) or to append (`rw`).

    Raises: TrialError: there is none, or it is another program's or a newer codegraft's.
    """
    if not path.is_file():
        raise TrialError("there is no such file; name the folder of a campaign")
    connection = sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode={mode}", uri=True, isolation_level=None)
    try:
        _check_header(connection)
    except (sqlite3.Error, TrialError):
        connection.close()
        raise
    return connection


def _check_header(connection: sqlite3.Connection) -> None:
    if _pragma(connection, "application_id") != _APPLICATION_ID:
        raise TrialError("is not a ledger of codegraft; name the folder of a campaign")
    version = _pragma(connection, "user_version")
    if version != _VERSION:
        raise TrialError(f"has version {version}, this codegraft reads {_VERSION}; use the codegraft that wrote it")


def _pragma(connection: sqlite3.Connection, name: str) -> object:
    row = connection.execute(f"PRAGMA {name}").fetchone()
    return row[0]


def _write_first_event(path: Path, settings: Settings) -> None:
    """Create the ledger: whole or not at all, since the file gets its name when the campaign event is in it."""
    if path.exists():
        raise TrialError("holds a campaign already; resume it, or name another folder")
    draft = path.with_suffix(".draft")
    draft.unlink(missing_ok=True)
    with closing(sqlite3.connect(draft, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {_VERSION}")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"CREATE TABLE events ({_COLUMNS})")
        state = State()
        _insert(connection, Event.after(state, time.time(), "campaign", {"settings": settings}), state)
    draft.rename(path)


def _insert(connection: sqlite3.Connection, event: Event, state: State) -> None:
    connection.execute(f"PRAGMA synchronous = {'FULL' if event.type in _ENDINGS else 'NORMAL'}")
    connection.execute("BEGIN IMMEDIATE")
    with connection:
        connection.execute("INSERT INTO events VALUES (?, ?, ?, ?, ?)", astuple(event))
        state.take(event)


def _replay(connection: sqlite3.Connection, into: State | None = None) -> State:
    """Take all events, those before the first that cannot be in any case."""
    state = into or State()
    for row in connection.execute("SELECT seq, ts, type, body, chain FROM events ORDER BY seq"):
        state.take(Event(*row))
    require(state.n_events > 0, "holds no event; name the folder of a campaign")
    return state
