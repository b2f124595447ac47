"""Carry a design out: plan each script, run what has to run on all slots, and write every row down as it comes.

Which programs are equal is decided in the order of the design, before they run, so a table does not depend on which run ended first.
What the machine does to a run is never a row: the build stops, and the same command goes on.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from graph.complexity import Complexity
from harness.executor import Executor
from harness.landscape.design import Plan, Single, Wanted, missing
from harness.landscape.program import Origin, Program
from harness.landscape.table import Row
from harness.lines import baseline_fault
from harness.values import Status, TrialError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from harness.landscape.journal import Journal
    from harness.landscape.table import Table
    from harness.measure import Runner
    from harness.sources import Sources
    from mutator.code import Code
    from mutator.kind import Reason

_AHEAD = 1  # runs that wait behind those on the slots, so that no slot waits for the planning
_NOWHERE = Complexity(0, 0, 0)


@dataclass(frozen=True, slots=True)
class Progress:
    """A row that was just written, and how much of the design is there."""

    row: Row
    n_rows: int
    n_left: int  # of the stage


def plan_of(code: Code, *, sign: float, seed: int, size: int) -> Plan:
    """Make the plan of a target's edits. Equal addresses are one edit."""
    edits, preserving = tuple({edit.address: edit for edit in code.edits()}.values()), code.grammar.preserving
    singles = tuple(Single(edit.address, edit.kind, edit.site, edit.kind in preserving) for edit in edits)
    pairs = (sorted((edits[i].address, edits[j].address)) for i, j in code.conflicts(edits))
    return Plan(singles, sign, seed, size, frozenset(map(tuple, pairs)))


class Build:
    """A design under way."""

    def __init__(self, sources: Sources, plan: Plan, journal: Journal) -> None:
        self._origin = Origin(sources.unrestricted)
        self._plan, self._journal = plan, journal
        self._programs: dict[tuple[int, int], tuple[Wanted, Program]] = {}  # of the runs under way
        self._n_started = 0

    def take_over(self, table: Table) -> None:
        """Go on from what an earlier build of the same wrote."""
        for row in table.rows:
            program = self._origin.program(row.script) if row.seed is not None else None
            self._journal.add(row, program.digest if isinstance(program, Program) else "")

    def carry_out(
        self, runner: Runner, *, n_slots: int, goes_on: Callable[[int], bool], announce: Callable[[Progress], object]
    ) -> bool:
        """Run until the design is complete. Returns: whether it is.

        goes_on: told how many runs were started, before each.
        Raises: TrialError: this machine cannot run it, or the unedited target has no metric.
        """
        executor = Executor(n_slots)
        try:
            while wanted := missing(self._plan, self._journal.rows):
                left = len(wanted)
                for row, digest in self._rows(runner, executor, wanted, n_slots + _AHEAD, goes_on):
                    self._journal.add(row, digest)
                    left -= 1
                    announce(Progress(row, len(self._journal.rows), left))
                if left:
                    return False
        finally:
            executor.close()
        return True

    def _rows(
        self, runner: Runner, executor: Executor, wanted: Iterable[Wanted], n_ahead: int, goes_on: Callable[[int], bool]
    ) -> Iterator[tuple[Row, str]]:
        """Make the rows of a stage, as they come, until the build may not go on."""
        for each in wanted:
            program = self._origin.program(each.script)
            if settled := self._settled(each, program):
                yield settled, ""
                continue
            if not goes_on(self._n_started):
                break
            while len(self._programs) >= n_ahead:
                yield self._collect(executor)
            assert isinstance(program, Program)
            key = (0, self._n_started)
            self._n_started += 1
            self._programs[key] = each, program
            executor.submit(key, lambda program=program, seed=each.seed: runner.run(program.snapshot, seed))  # type: ignore[misc]  # bound now
        while self._programs:
            yield self._collect(executor)

    def _settled(self, wanted: Wanted, program: Program | Reason) -> Row | None:
        """Return the row of a script that does not run."""
        nothing = (wanted.stage, wanted.script, None)
        if not isinstance(program, Program):
            return Row(*nothing, program, math.nan, 0.0, math.nan, _NOWHERE)
        same = self._journal.script_of(program.digest) if wanted.runs else ()
        if same is None or same == wanted.script:
            self._journal.claim(program.digest, wanted.script)
            return None
        return Row(*nothing, Status.DUPLICATE, math.nan, 0.0, program.distance, program.grown, same)

    def _collect(self, executor: Executor) -> tuple[Row, str]:
        key, outcome = executor.collect()
        wanted, program = self._programs.pop(key)
        if not wanted.script and not outcome.ok:
            raise TrialError(f"{baseline_fault(outcome)}; repair the target first")
        ran = (outcome.status, outcome.metric, outcome.cpu_s, program.distance, program.grown)
        return Row(wanted.stage, wanted.script, wanted.seed, *ran), program.digest
