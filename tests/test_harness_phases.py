"""The phases of real runs: they lie end to end, and they say where the time went."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from graph.snapshot import Snapshot
from harness.measure import Runner
from harness.sources import open_sources
from harness.stopwatch import Stopwatch
from harness.values import Status

if TYPE_CHECKING:
    from collections.abc import Iterator

TOY = open_sources("toy")


@pytest.fixture(scope="module")
def runner() -> Iterator[Runner]:
    with Runner(TOY.trainable, n_slots=1) as runner:
        yield runner


def test_phases_of_a_run_are_most_of_its_time_and_lie_end_to_end(runner: Runner) -> None:
    began_s = time.monotonic()
    outcome = runner.run(TOY.snapshot, 1)
    took_s = time.monotonic() - began_s
    assert [name for name, _ in outcome.phases] == ["wait", "copy", "train", "score"]
    seconds = dict(outcome.phases)
    assert seconds["train"] >= outcome.wall_s
    assert min(seconds.values()) >= 0.0
    assert 0.8 * took_s < sum(seconds.values()) <= took_s


def test_run_behind_another_says_that_it_waited(runner: Runner) -> None:
    with ThreadPoolExecutor(2) as pool:
        first, second = sorted(
            (dict(each.phases) for each in pool.map(lambda seed: runner.run(TOY.snapshot, seed), (1, 2))),
            key=lambda phases: phases["wait"],
        )
    assert second["wait"] > first["train"]


def test_run_that_fails_while_training_has_no_scoring(runner: Runner) -> None:
    broken = Snapshot({**TOY.snapshot.files, "train.py": b"raise SystemExit(1)\n"}, TOY.snapshot.frozen)
    outcome = runner.run(broken, 1)
    assert outcome.status is Status.FAILED
    assert [name for name, _ in outcome.phases] == ["wait", "copy", "train"]


def test_smoke_is_a_phase_of_its_own(runner: Runner) -> None:
    assert [name for name, _ in runner.smoke(TOY.snapshot, 1).outcome.phases] == ["wait", "smoke"]


def test_attempt_that_came_to_nothing_is_waiting() -> None:
    times = iter([0.0, 1.0, 3.0, 7.0, 8.0])
    watch = Stopwatch(lambda: next(times))
    watch.waited()
    watch.lap("copy")
    watch.waited()
    watch.lap("copy")
    assert watch.laps == (("wait", 7.0), ("copy", 1.0))
