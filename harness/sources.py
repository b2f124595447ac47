"""Open what a person names as TARGET: a folder with a manifest, a target that ships with codegraft, or any folder of Python files.

A program to look at may also be a single file, or what a trial of a campaign made: `campaigns/demo@12`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from graph.build import build_graph
from graph.code_graph import CodeGraph
from graph.snapshot import Snapshot, python_files, read_snapshot
from harness.ledger import LEDGER_FILE, read_record
from harness.objects import ObjectStore
from harness.record import Proposal, Record
from harness.values import Trial
from harness.wishes import forbidden_of, priors_of
from mutator.code import Code
from targets.manifest import MANIFEST, Target, TargetError, load_target
from targets.shipped import FOLDER, shipped_targets


@dataclass(frozen=True)
class Sources:
    """The sources of one target, with what edits may not touch."""

    root: Path
    snapshot: Snapshot
    target: Target | None = None
    made_by: tuple[Proposal | Trial, ...] = ()  # the trials that led to them, oldest first

    @cached_property
    def graph(self) -> CodeGraph:
        """The code graph of the sources."""
        return build_graph(self.snapshot)

    @property
    def trainable(self) -> Target:
        """The target that the sources belong to.

        Raises: TargetError: they have no manifest.
        """
        if self.target is None:
            raise TargetError(_untrainable(self.root))
        return self.target

    @cached_property
    def code(self) -> Code:
        """The sources as code that can be edited, but for what the manifest forbids.

        Raises: TargetError: it forbids what does not exist.
        """
        if self.target is None or not self.target.search.forbid:
            return self.unrestricted
        return replace(self.unrestricted, forbidden=forbidden_of(self.target, self.snapshot))

    @cached_property
    def unrestricted(self) -> Code:
        """The same, whatever the manifest forbids: for what measures edits instead of searching."""
        return Code(self.graph, self.target.protected if self.target is not None else ())

    @property
    def protected(self) -> frozenset[str]:
        """The slots that no edit may touch."""
        return self.unrestricted.protected


def open_sources(name: str) -> Sources:
    """Read the sources of a target or of a plain folder.

    Raises: TargetError: the manifest is wrong. GraphError: there is nothing to read.
    """
    folder = find_folder(name)
    if not (folder / MANIFEST).is_file():
        return Sources(folder, read_snapshot(folder, python_files(folder)))
    target = _load(folder)
    return Sources(target.root_dir, read_target(target), target)


def open_program(name: str) -> Sources:
    """Read the sources of a target, a folder, a Python file, or of a campaign's trial.

    CAMPAIGN@N, @0 the unedited program, @best, @shrunk: the best without the edits that it does not need.

    Raises: TargetError: there is no such trial, or the manifest is wrong. GraphError: there is nothing to read.
    TrialError: the campaign is damaged.
    """
    path, (campaign, at, trial) = Path(name), name.rpartition("@")
    if path.is_file() and path.suffix == ".py":
        return Sources(path.parent.absolute(), read_snapshot(path.parent, [path.name]))
    if at and not path.exists() and (Path(campaign) / LEDGER_FILE).is_file():
        return _open_trial(Path(campaign), trial)
    return open_sources(name)


def read_earlier(name: str) -> tuple[Snapshot, ...]:
    """Read what was known when a campaign judged a trial, CAMPAIGN@N: the unedited program and what earlier trials made.

    Raises: TargetError: there is no such campaign or trial. TrialError: the campaign is damaged.
    """
    path, _, trial = name.rpartition("@")
    if not (Path(path) / LEDGER_FILE).is_file():
        raise TargetError(f"{name}: is no trial of a campaign; name a second program to compare it with")
    frozen = open_program(name).snapshot.frozen
    record, store = read_record(Path(path)), ObjectStore(Path(path))
    best = record.incumbent.number if record.incumbent is not None else 0
    number = best if trial == "best" else int(trial)
    ran = [trial.commit for trial in record.trials if trial.ok and trial.number < number]
    commits = [_commits(record, store)["0"], *ran] if number else []
    return tuple(Snapshot(store.files(commit), frozen) for commit in commits)


def _commits(record: Record, store: ObjectStore) -> dict[str, str]:
    """Return trial -> commit, as a person names a trial."""
    commits = {str(proposal.number): proposal.commit for proposal in record.proposals}
    if commits:
        commits["0"] = store.first(next(iter(commits.values())))
        commits |= {"shrunk": shrunk} if (shrunk := store.shrunk()) else {}
        commits["best"] = commits[str(record.incumbent.number)] if record.incumbent is not None else commits["0"]
    return commits


def _open_trial(folder: Path, trial: str) -> Sources:
    record, store = read_record(folder), ObjectStore(folder)
    commits = _commits(record, store)
    if trial not in commits:
        last = f"0 to {record.proposals[-1].number}, best, or shrunk where there is one" if commits else "none yet"
        raise TargetError(f"{folder}@{trial}: is no trial of the campaign; it has {last}")
    target = load_target(Path(record.settings.target)) if (Path(record.settings.target) / MANIFEST).is_file() else None
    frozen = frozenset(target.frozen) if target is not None else frozenset[str]()
    files = store.files(commits[trial])
    number = record.incumbent.number if trial == "best" and record.incumbent is not None else trial
    made_by = record.lineage(int(number)) if str(number).isdecimal() else ()
    return Sources(folder, Snapshot(files, frozen & files.keys()), target, made_by)


def open_target(name: str) -> Target:
    """Load a target that can be trained.

    Raises: TargetError: there is no such folder, no manifest in it, or it is wrong.
    """
    folder = find_folder(name)
    if not (folder / MANIFEST).is_file():
        raise TargetError(_untrainable(folder))
    return _load(folder)


def read_target(target: Target) -> Snapshot:
    """Read the mutable and frozen files of a target."""
    return read_snapshot(target.root_dir, target.mutable, frozen=target.frozen)


def find_folder(name: str) -> Path:
    """Return the folder that a person means: a path, else a target that ships with codegraft.

    Raises: TargetError: it is neither.
    """
    for folder in (Path(name), FOLDER / name):
        if name and folder.is_dir():
            return folder.absolute()
    known = ", ".join(shipped_targets())
    raise TargetError(
        f"{name}: is no folder; name a folder of Python files, or a target that ships with codegraft: {known}"
    )


def _load(folder: Path) -> Target:
    target = load_target(folder)
    priors_of(target)  # refuses a kind that does not exist
    return target


def _untrainable(folder: Path) -> str:
    return f"{folder}: has no {MANIFEST}; write one, see targets/bytelm for an example"
