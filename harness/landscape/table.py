"""What was really measured of a target: a row per run, and a row for each script that needed none or could not have one.

The way from an edit to a metric is in the provenance: a table is of use only beside the sources, the manifest and the grammar that it
was made with, so each of them has a digest. Digests of sources leave comments, layout and names of locals out, as what is measured does.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass
from enum import StrEnum
from hashlib import blake2b
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from graph.complexity import Complexity
from graph.features import canonical_digest
from harness.values import Status
from mutator.kind import Reason
from targets.manifest import Direction

if TYPE_CHECKING:
    from graph.snapshot import Snapshot
    from mutator.grammar import Grammar
    from targets.manifest import Target

Script = tuple[str, ...]
"""The addresses of the edits of a script, sorted; all are planned together on the unedited target."""

# Fields of a manifest that decide what a run measures.
_DECIDING = frozenset(
    ("tier", "prepare", "train", "predictor", "scorer", "checkpoint", "metric", "direction", "plausible", "probes", "budget")
)  # fmt: skip


class Stage(StrEnum):
    """Why a script is in the table; see harness.landscape.design."""

    BASELINE = "baseline"
    SINGLES = "singles"
    REPEATS = "repeats"
    DEEP = "deep"
    PAIRS = "pairs"
    LONGER = "longer"
    CONFIRMED = "confirmed"


@dataclass(frozen=True, slots=True)
class Row:
    """One run of a script; or a script that did not run, with the reason for it as its status."""

    stage: Stage
    script: Script
    seed: int | None  # None: it did not run
    status: Status | Reason
    metric: float  # NaN unless the status is ok
    cpu_s: float  # of the training
    distance: float  # in structure, from the unedited target; NaN where there is no program
    grown: Complexity  # against the unedited target
    same_as: Script | None = None  # of a duplicate: the script that is the same program

    @property
    def ok(self) -> bool:
        """Whether it has a metric."""
        return self.status is Status.OK


@dataclass(frozen=True, slots=True)
class Environment:
    """What the runs were carried out with; a metric may depend on all of it."""

    python: str
    torch: str
    cpu: str
    threads: int

    @classmethod
    def look(cls, threads: int) -> Environment:
        """Look at this machine. threads: of a run, as the manifest says."""
        return cls(platform.python_version(), _version("torch"), _cpu_model(), threads)


@dataclass(frozen=True, slots=True)
class Provenance:
    """What a table was made with."""

    target: str  # its name
    metric: str
    direction: Direction
    bound: float  # the best metric that can be true
    sources: str  # canonical digest of the mutable and frozen files
    manifest: str  # digest of what decides what a run measures
    grammar: str  # digest of the kinds and their versions
    codegraft: str
    seed: int  # of the design
    size: int  # runs that the design has

    @property
    def sign(self) -> float:
        """What makes a gain of a difference of metrics."""
        return self.direction.sign

    def differences(self, other: Provenance) -> tuple[str, ...]:
        """Name what does not agree of what a metric depends on."""
        return tuple(name for name in ("sources", "manifest", "grammar") if getattr(self, name) != getattr(other, name))


@dataclass(frozen=True, slots=True)
class Table:
    """All that was measured, in the order of the design."""

    provenance: Provenance
    environments: tuple[Environment, ...]  # more than one when a build went on elsewhere
    rows: tuple[Row, ...]


def provenance_of(target: Target, sources: Snapshot, grammar: Grammar, *, seed: int, size: int) -> Provenance:
    """Say what a table of this target would be made with, as things stand."""
    deciding = target.model_dump_json(include=set(_DECIDING)) + str(target.limits.threads)
    kinds = " ".join(f"{kind.name}:{kind.version}" for kind in grammar.kinds)
    digests = (canonical_digest(sources.files), _digest(deciding), _digest(kinds))
    return Provenance(
        target.name, target.metric, target.direction, target.bound, *digests, _version("codegraft"), seed, size
    )


def status_named(name: str) -> Status | Reason:
    """Read a status as it is stored.

    Raises: KeyError: it is none.
    """
    known: dict[str, Status | Reason] = {each.value: each for each in (*Status, *Reason)}
    return known[name]


def _digest(text: str) -> str:
    return blake2b(text.encode(), digest_size=16).hexdigest()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"


def _cpu_model() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.machine())
