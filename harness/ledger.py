"""The ledger: everything that happened in a campaign, as an append-only list of events in one SQLite file.

Events are the truth and the `Record` is their replay; the writer's own record is the replay of what it wrote, so memory and
disk cannot differ. An event survives `kill -9` once its method returns, and the events that end something (`campaign`, `judged`,
`stopped`) survive a power cut, with all before them (measured on SQLite's write-ahead log: 0 of 199,368 acknowledged rows lost
in 60 kills; a synchronous commit costs 4-7 ms). A lock on `campaign.lock` refuses a second writer; the kernel releases it with
the process. Readers need no lock. Local disks only: the write-ahead log does not work on network file systems.
"""

from __future__ import annotations

import fcntl
import json
import math
import os
import sqlite3
import time
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

from harness.values import Decision, Outcome, Reward, Status, Trial, TrialError, Verdict
from mutator.edit import Edit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LEDGER_FILE = "ledger.db"
LOCK_FILE = "campaign.lock"

_APPLICATION_ID = 0x63677261  # "cgra" in the header of the file: tells a ledger from any other SQLite file
_VERSION = 1  # of the events' shape
_ENDINGS = frozenset({"campaign", "judged", "stopped"})  # synchronous: nothing may be decided twice
_SCHEMA = "CREATE TABLE events (seq INTEGER PRIMARY KEY, ts REAL NOT NULL, type TEXT NOT NULL, body TEXT NOT NULL)"


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
    slots: int  # trials that run at the same time
    replicates: int  # runs of the baseline
    checkpoint: str = ""  # what the policy started from


@dataclass(frozen=True, slots=True)
class Proposal:
    """An edit that became a program version, with what its runs did so far."""

    number: int
    edit: Edit
    parent: str  # digest of the snapshot that the edit was made on
    snapshot: str  # digest of the edited snapshot
    commit: str  # the program version in objects.git
    outcomes: tuple[Outcome, ...] = ()  # first the search seed, then the confirmations


@dataclass(frozen=True, slots=True)
class Record:
    """A campaign as its events tell it. Two records are equal when the same things happened, whenever that was."""

    settings: Settings
    baseline: tuple[Outcome, ...] = ()
    proposals: tuple[Proposal, ...] = ()  # all of them, judged or not, in the order of their numbers
    trials: tuple[Trial, ...] = ()  # the judged ones, in the order of their verdicts
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
        """The trial that the next edit is made on; None while that is the baseline."""
        return self.kept[-1] if self.kept else None


def read_record(folder: Path) -> Record:
    """Read a campaign, also while another process writes it.

    Raises: TrialError: the folder holds no campaign, or its ledger is damaged.
    """
    path = folder / LEDGER_FILE
    with _named(path), closing(_connect(path, mode="ro")) as connection:
        return _replay(connection).record


class Ledger:
    """The one writer of a campaign's events. A context manager: leaving it releases the campaign."""

    def __init__(self, folder: Path) -> None:
        """Open the ledger of a campaign.

        Raises: TrialError: the folder holds no campaign, its ledger is damaged, or another process writes it.
        """
        self._path = folder / LEDGER_FILE
        with ExitStack() as held, _named(self._path):
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
            with _locked(folder):
                _write_first_event(path, settings)
        return cls(folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the campaign to another writer."""
        self._held.close()

    @property
    def record(self) -> Record:
        """The campaign so far."""
        return self._state.record

    def add_baseline(self, index: int, outcome: Outcome) -> None:
        """Record a run of the unedited target; `index` counts from 0."""
        self._append("baseline", index=index, outcome=outcome)

    def add_proposal(self, proposal: Proposal) -> None:
        """Record an edit whose program version is in the object store; it has no outcomes yet. Numbers rise, with gaps."""
        self._append("proposed", proposal=proposal)

    def add_run(self, number: int, index: int, outcome: Outcome) -> None:
        """Record run `index`, counted from 0, of a proposal that is not judged."""
        self._append("run", number=number, index=index, outcome=outcome)

    def add_verdict(self, number: int, verdict: Verdict, reward: Reward) -> Trial:
        """Record the one terminal result of a proposal and return the trial that it made."""
        self._append("judged", number=number, verdict=verdict, reward=reward)
        return self._state.trials[number]

    def stop(self, reason: str) -> None:
        """Record why the campaign ended; a resume may append more."""
        self._append("stopped", reason=reason)

    def _append(self, type_: str, **body: object) -> None:
        """Write one event and replay it; an event that cannot follow the others is refused and leaves no trace.

        Raises: TrialError: the event contradicts the ledger, or the disk refuses it.
        """
        event = _Event(self._state.n_events + 1, time.time(), type_, json.dumps(_plain(body), allow_nan=False))
        with _named(self._path):
            try:
                _insert(self._connection, event, self._state)
            except sqlite3.Error:
                self._state = _replay(self._connection)  # the disk decides what happened
                raise


@dataclass(frozen=True, slots=True)
class _Event:
    """One row of the ledger; the body is a JSON object."""

    seq: int
    ts: float
    type: str
    body: str


class _State:
    """The replay in progress. Each event checks what it says against the events before it, then adds to them."""

    def __init__(self) -> None:
        self.n_events = 0
        self.trials: dict[int, Trial] = {}
        self._proposals: dict[int, Proposal] = {}
        self._baseline: list[Outcome] = []
        self._settings: Settings | None = None
        self._stop_reason: str | None = None

    @property
    def record(self) -> Record:
        assert self._settings is not None  # the first event says them
        proposals, trials = tuple(self._proposals.values()), tuple(self.trials.values())
        return Record(self._settings, tuple(self._baseline), proposals, trials, self._stop_reason)

    def take(self, event: _Event) -> None:
        """Check and apply one event.

        Raises: TrialError: it is damaged, or it cannot follow the events before it.
        """
        _require(event.seq == self.n_events + 1, f"event {event.seq} follows event {self.n_events}; restore a copy")
        _require((event.type == "campaign") == (event.seq == 1), f"event {event.seq} is {event.type!r}; restore a copy")
        try:
            self._apply(event.type, json.loads(event.body))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise TrialError(f"event {event.seq} ({event.type}) cannot be read: {error!r}; restore a copy") from error
        self.n_events = event.seq
        self._stop_reason = self._stop_reason if event.type == "stopped" else None

    def _apply(self, type_: str, body: dict[str, Any]) -> None:
        match type_:
            case "campaign":
                self._settings = Settings(**body["settings"])
            case "baseline":
                _require(body["index"] == len(self._baseline), f"baseline run {body['index']} is out of order")
                self._baseline.append(_outcome(body["outcome"]))
            case "proposed":
                self._propose(_proposal(body["proposal"]))
            case "run":
                self._run(body["number"], body["index"], _outcome(body["outcome"]))
            case "judged":
                self._judge(body["number"], _verdict(body["verdict"]), _reward(body["reward"]))
            case "stopped":
                self._stop_reason = body["reason"]
            case _:
                raise TrialError(f"event type {type_!r} is unknown; read the campaign with a newer codegraft")

    def _propose(self, proposal: Proposal) -> None:
        last = next(reversed(self._proposals), 0)
        _require(proposal.number > last, f"trial {proposal.number} is proposed after trial {last}")
        _require(not proposal.outcomes, f"trial {proposal.number} is proposed with outcomes; add its runs one by one")
        self._proposals[proposal.number] = proposal

    def _run(self, number: int, index: int, outcome: Outcome) -> None:
        proposal = self._open_proposal(number)
        _require(index == len(proposal.outcomes), f"run {index} of trial {number} is out of order")
        self._proposals[number] = replace(proposal, outcomes=(*proposal.outcomes, outcome))

    def _judge(self, number: int, verdict: Verdict, reward: Reward) -> None:
        proposal = self._open_proposal(number)
        _require(bool(proposal.outcomes), f"trial {number} is judged before it ran")
        made = (proposal.edit, proposal.parent, proposal.snapshot, proposal.commit, proposal.outcomes)
        self.trials[number] = Trial(number, *made, verdict, reward)

    def _open_proposal(self, number: int) -> Proposal:
        _require(number in self._proposals, f"trial {number} was never proposed")
        _require(number not in self.trials, f"trial {number} is judged already; a verdict is final")
        return self._proposals[number]


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise TrialError(otherwise)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Turn what SQLite and the system say into one line that names the ledger."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise TrialError(f"{path}: {error}; check the disk, or restore a copy of the campaign") from error
    except TrialError as error:
        raise TrialError(f"{path}: {error}") from error


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
    """Open a ledger to read (`ro`) or to append (`rw`).

    Raises: TrialError: there is none, or it is another program's, a newer codegraft's or damaged.
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
    state = _pragma(connection, "quick_check")
    if state != "ok":
        raise TrialError(f"is damaged ({str(state).splitlines()[0]}); restore a copy of the campaign")


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
        connection.execute(_SCHEMA)
        body = json.dumps(_plain({"settings": settings}), allow_nan=False)
        _insert(connection, _Event(1, time.time(), "campaign", body), _State())
    draft.rename(path)


def _insert(connection: sqlite3.Connection, event: _Event, state: _State) -> None:
    connection.execute(f"PRAGMA synchronous = {'FULL' if event.type in _ENDINGS else 'NORMAL'}")
    connection.execute("BEGIN IMMEDIATE")
    with connection:
        connection.execute("INSERT INTO events VALUES (?, ?, ?, ?)", (event.seq, event.ts, event.type, event.body))
        state.take(event)


def _replay(connection: sqlite3.Connection) -> _State:
    state = _State()
    for row in connection.execute("SELECT seq, ts, type, body FROM events ORDER BY seq"):
        state.take(_Event(*row))
    _require(state.n_events > 0, "holds no event; name the folder of a campaign")
    return state


def _plain(value: object) -> object:
    """Reduce a value to JSON: NaN is null, an infinity is {"float": "inf"}; every other float keeps its bits."""
    if is_dataclass(value):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else {"float": str(value)}
    return value


def _scalar(value: Any) -> Any:  # noqa: ANN401 - the inverse of _plain on a field that is no tuple
    return math.nan if value is None else float(value["float"]) if isinstance(value, dict) else value


def _pairs(items: list[list[Any]]) -> tuple[tuple[str, Any], ...]:
    return tuple((name, _scalar(value)) for name, value in items)


def _outcome(body: dict[str, Any]) -> Outcome:
    curve = tuple(_scalar(value) for value in body["curve"])
    scalars = {name: _scalar(value) for name, value in body.items() if name not in ("curve", "phases")}
    return Outcome(**{**scalars, "status": Status(body["status"]), "curve": curve, "phases": _pairs(body["phases"])})


def _proposal(body: dict[str, Any]) -> Proposal:
    edit = Edit(**{**body["edit"], "choice": _pairs(body["edit"]["choice"])})
    return Proposal(**{**body, "edit": edit, "outcomes": tuple(_outcome(outcome) for outcome in body["outcomes"])})


def _verdict(body: dict[str, Any]) -> Verdict:
    metric, gain, z = (_scalar(body[name]) for name in ("metric", "gain", "z"))
    return Verdict(Decision(body["decision"]), metric, gain, z, body["reason"])


def _reward(body: dict[str, Any]) -> Reward:
    return Reward(_pairs(body["terms"]))
