"""Runs attacks in a process of its own, on the harness that its PYTHONPATH names: the whole one, or a copy without a guard.

    python -m bench.attacks.stage FOLDER NUMBER...

One line of JSON per attack, with what happened and whether the attack got what it was after.
"""

from __future__ import annotations

import json
import os
import re
import resource
import sys
import threading
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.attacks.attack import Aim
from bench.attacks.bait import Bait
from bench.attacks.bigram import write_target
from bench.attacks.shipped import ATTACKS
from graph.snapshot import read_snapshot
from harness.measure import Runner
from harness.values import Outcome, Scoring, Status
from targets.manifest import Unit

if TYPE_CHECKING:
    from bench.attacks.attack import Attack
    from graph.snapshot import Snapshot

SEED = 1
MARGIN = 0.05  # of the honest metric: how much better a metric must be to count as forged
PATIENCE_S = 15.0  # longer than the limits of the target allow a run
_FULL_KB = 300 << 10  # by which the controller grows when it reads what it should not
_AMOUNTS = {"steps": 20.0, "wall_s": 0.4, "cpu_s": 0.4}


@dataclass(frozen=True, slots=True)
class Happened:
    """What came of an attack."""

    number: int
    status: str
    detail: str
    metric: float
    honest: float
    paid: bool  # it got what it was after

    @property
    def ended(self) -> str:
        """Say how the run ended, in one line."""
        if self.status == Status.OK:
            same = "the honest metric" if self.metric == self.honest else f"{self.metric:.3g}, honest {self.honest:.3g}"
            return f"ok: {same}"
        return f"{self.status}: {' '.join(self.detail.split())}"

    def is_expected(self) -> bool:
        """Say whether it is what must come of the attack: its status, and the word that names it, or the honest metric."""
        attack = ATTACKS[self.number]
        named = re.search(attack.word, self.detail) if attack.word else not self.paid
        return self.status == attack.status and bool(named)


class Stage:
    """One harness, and the runs on it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._target = write_target(folder / "target")
        self._runners: dict[str, tuple[Runner, Snapshot, float]] = {}
        self._context = ExitStack()

    def run(self, number: int, attack: Attack) -> Happened:
        """Carry an attack out and look at what it got."""
        runner, honest, metric = self._runner(attack.unit)
        with Bait(self._folder / f"bait{number}") as bait:
            files = {
                bait.place(name): source.encode() for name, source in {**attack.files, "bait.py": bait.module()}.items()
            }
            snapshot = honest.with_files(files, edit=attack.name)
            neighbour = runner._scratch / "neighbour"  # noqa: SLF001 - another run keeps its files there
            neighbour.mkdir(exist_ok=True)
            (neighbour / "held-out.txt").write_text(bait.secret)
            before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            outcome = self._patiently(runner, snapshot, attack)
            grown_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb
            paid = {
                Aim.BLOCKADE: outcome is None,
                Aim.MEMORY: grown_kb > _FULL_KB,
            }.get(attack.aim, outcome is not None and bait.is_taken(attack.aim, outcome))
        if outcome is None:
            return Happened(number, "never ends", "", metric, metric, paid)
        better = outcome.ok and not outcome.metric >= (1 - MARGIN) * metric  # a NaN that is accepted is no less wrong
        return Happened(number, outcome.status, outcome.detail, outcome.metric, metric, paid or better)

    def _patiently(self, runner: Runner, snapshot: Snapshot, attack: Attack) -> Outcome | None:
        """Return the outcome, or None when there is none in time; whatever the controller dies of is an outcome here."""
        found: list[Outcome] = []

        def run() -> None:
            try:
                if attack.aim is Aim.MEMORY:
                    found.append(runner.smoke(snapshot, SEED).outcome)
                else:
                    found.append(runner.run(snapshot, SEED, scoring=attack.scoring))
            except Exception as error:  # noqa: BLE001 - what a controller must survive is what is asked here
                found.append(
                    Outcome(Status.INFRA_ERROR, detail=f"the controller raised {type(error).__name__}: {error}")
                )

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        thread.join(PATIENCE_S if attack.aim is Aim.BLOCKADE else None)
        return found[0] if found else None

    def _runner(self, unit: str) -> tuple[Runner, Snapshot, float]:
        if unit not in self._runners:
            target = self._target
            budget = target.budget.model_copy(update={"unit": Unit(unit), "amount": _AMOUNTS[unit]})
            budgeted = target.model_copy(update={"budget": budget})
            # One wall at a time: behind a second one nobody would see that the first is gone.
            runner = self._context.enter_context(Runner(budgeted, isolation="landlock"))
            snapshot = read_snapshot(target.root_dir, target.mutable, frozen=target.frozen)
            outcome = runner.run(snapshot, SEED, scoring=Scoring.GATE)
            self._runners[unit] = (runner, snapshot, outcome.metric)
            if not outcome.ok:
                raise SystemExit(f"the honest run ended as {outcome}")
        return self._runners[unit]


def main(folder: str, *numbers: str) -> None:
    """Run the attacks of these numbers in a folder."""
    stage = Stage(Path(folder))
    for number in sorted(map(int, numbers), key=lambda n: ATTACKS[n].aim is Aim.BLOCKADE):
        happened = stage.run(number, ATTACKS[number])
        sys.stdout.write(f"{json.dumps(asdict(happened))}\n")
        sys.stdout.flush()
    os._exit(0)  # a thread of ours may hang; the launchers end, and end all, when this process is gone


if __name__ == "__main__":
    main(*sys.argv[1:])
