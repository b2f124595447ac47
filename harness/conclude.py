"""The last evaluation of a campaign: what the kept edits are worth on seeds that selected nothing, each alone, and on the final test.

A search picks what looked good, so the figures it was picked by are too good. Here the incumbent, the baseline and the incumbent without
each of its edits run on fresh seeds, paired. Edits whose absence does not show are left out; the script that is left, the shrunk one, is
what a campaign recommends, if it holds its own. Baseline, incumbent and shrunk script are then measured on the final test, once.
All of it is in the ledger, so it is done once per incumbent, however often the command is given.
"""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass, replace
from statistics import fmean, stdev
from typing import TYPE_CHECKING

from harness.values import Scoring
from harness.verdict import student_t
from mutator.code import Code
from mutator.edit import EditError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from graph.snapshot import Snapshot
    from harness.record import Record
    from mutator.edit import Edit
    from targets.manifest import Target

    _Move = tuple[Edit, ...]

BASELINE, INCUMBENT, SHRUNK = "baseline", "incumbent", "shrunk"
_WITHOUT = "without "
_SEEDS_FROM = 30_000  # after the campaign's own


@dataclass(frozen=True, slots=True)
class FinalRun:
    """A run that the last evaluation needs."""

    role: str
    scoring: Scoring
    seed: int
    snapshot: Snapshot


@dataclass(frozen=True, slots=True)
class Effect:
    """How much better one program is than another, paired by seed; positive when better, in the metric's unit."""

    mean: float
    low: float  # two-sided 90 % Student t interval
    high: float
    better: float  # mean metric of the one
    worse: float  # of the other
    n: int  # seeds

    @property
    def error(self) -> float:
        """The standard error of the mean."""
        return (self.high - self.mean) / student_t(self.n - 1)


def effect(record: Record, role: str, other: str, scoring: Scoring = Scoring.SEARCH) -> Effect | None:
    """Compare two roles of the last evaluation on the seeds where both have a metric; None for less than two seeds."""
    ours, theirs = (_metrics(record, each, scoring) for each in (role, other))
    seeds = sorted(ours.keys() & theirs.keys())
    if len(seeds) < 2:
        return None
    gains = [record.settings.sign * (ours[seed] - theirs[seed]) for seed in seeds]
    mean, half = fmean(gains), student_t(len(seeds) - 1) * stdev(gains) / math.sqrt(len(seeds))
    better, worse = (fmean(each[seed] for seed in seeds) for each in (ours, theirs))
    return Effect(mean, mean - half, mean + half, better, worse, len(seeds))


def contributions(record: Record) -> dict[str, Effect]:
    """Say of each edit of the incumbent's script what it adds to the others; one that others need has no such figure."""
    roles = dict.fromkeys(f.role for f in record.finals if f.trial == _number(record) and f.role.startswith(_WITHOUT))
    found = {role.removeprefix(_WITHOUT): effect(record, INCUMBENT, role) for role in roles}
    return {edit: each for edit, each in found.items() if each is not None}


def dispensable(record: Record) -> frozenset[str]:
    """Name the edits whose contribution is no more than its own standard error; both are 0 where an edit does nothing."""
    found = contributions(record).items()
    return frozenset(edit for edit, each in found if each.mean <= each.error)


def recommended(record: Record) -> str:
    """Return the role to hand to a person: the shrunk script unless a run of it failed, or it is proven worse than the incumbent."""
    lost = effect(record, INCUMBENT, SHRUNK)
    failed = any(f.role == SHRUNK and f.trial == _number(record) and not f.outcome.ok for f in record.finals)
    return INCUMBENT if failed or lost is None or lost.low > 0.0 else SHRUNK


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What the last evaluation showed of the script that it recommends."""

    script: str  # incumbent or shrunk
    fresh: Effect  # against the baseline, on the held-out data
    test: Effect | None  # likewise on the final test, where the target has one
    edits: dict[str, Effect]  # what each edit adds to the others


def evaluation(record: Record) -> Evaluation | None:
    """Sum the last evaluation up; None before it."""
    role = recommended(record)
    fresh = effect(record, role, BASELINE)
    if fresh is None:
        return None
    return Evaluation(role, fresh, effect(record, role, BASELINE, Scoring.FINAL), contributions(record))


class Conclusion:
    """The runs that the last evaluation still needs, in two stages: the second depends on what the first measured."""

    def __init__(self, target: Target, record: Record, root: Snapshot) -> None:
        """Replay the incumbent's script from the root."""
        self._root = Code.of(root, protected=target.protected)
        self._moves = _without_superseded(self._root, [trial.script for trial in record.lineage(_number(record))])
        self._whole = _replay(self._root, self._moves)
        self._seeds = [record.settings.seed + _SEEDS_FROM + i for i in range(record.settings.replicates)]

    def first_stage(self, record: Record) -> list[FinalRun]:
        """List the missing runs of baseline, incumbent, and the incumbent without each of its edits."""
        programs = {BASELINE: self._root.snapshot, INCUMBENT: self._whole}
        edits = self._edits
        alone = {f"{_WITHOUT}{edit}": self._without(frozenset({edit})) for edit in edits if len(edits) > 1}
        programs |= {role: snapshot for role, snapshot in alone.items() if snapshot is not None}
        return list(self._missing(record, programs, Scoring.SEARCH))

    def second_stage(self, record: Record, *, has_test: bool) -> list[FinalRun]:
        """List the missing runs of the shrunk script, and of the final test."""
        programs = {BASELINE: self._root.snapshot, INCUMBENT: self._whole}
        shrunk = self.shrunk(record)
        runs = list(self._missing(record, {SHRUNK: shrunk}, Scoring.SEARCH)) if shrunk is not None else []
        if has_test:
            programs |= {SHRUNK: shrunk} if shrunk is not None else {}
            runs += self._missing(record, programs, Scoring.FINAL)
        return runs

    def shrunk(self, record: Record) -> Snapshot | None:
        """Return the incumbent without the edits that it does not need, by the first stage; None if it needs them."""
        dropped = dispensable(record)
        return self._without(dropped) if 0 < len(dropped) < len(self._edits) else None

    @property
    def _edits(self) -> list[str]:
        return [edit.address for move in self._moves for edit in move]

    def _without(self, edits: frozenset[str]) -> Snapshot | None:
        try:
            return _replay(self._root, [tuple(e for e in move if e.address not in edits) for move in self._moves])
        except EditError:
            return None  # later edits need it

    def _missing(self, record: Record, programs: dict[str, Snapshot], scoring: Scoring) -> Iterator[FinalRun]:
        done = {(f.role, f.scoring, f.outcome.seed) for f in record.finals if f.trial == _number(record)}
        for role, snapshot in programs.items():
            for seed in self._seeds:
                if (role, scoring, seed) not in done:
                    yield FinalRun(role, scoring, seed, snapshot)


def _without_superseded(root: Code, moves: Sequence[_Move]) -> Sequence[_Move]:
    """Leave out the edits that later ones undo altogether: a rate that was set three times was set once."""
    whole, left = _replay(root, moves), [tuple(replace(edit, anchor="") for edit in move) for move in moves]
    for edit in [edit for move in left for edit in move]:
        rest = [tuple(each for each in move if each is not edit) for move in left]
        with suppress(EditError):
            if _replay(root, rest).files == whole.files:
                moves = left = rest
    return moves


def _replay(root: Code, moves: Sequence[_Move]) -> Snapshot:
    """Make the moves one after the other; those that have no edit left are none.

    Raises: EditError: an edit does not apply.
    """
    code = root
    for move in filter(None, moves):
        code = code.apply_together(*move)
    return code.snapshot


def _number(record: Record) -> int:
    return record.incumbent.number if record.incumbent is not None else 0


def _metrics(record: Record, role: str, scoring: Scoring) -> dict[int, float]:
    return {
        f.outcome.seed: f.outcome.metric
        for f in record.finals
        if (f.trial, f.role, f.scoring) == (_number(record), role, scoring) and f.outcome.ok
    }
