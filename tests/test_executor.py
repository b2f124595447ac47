"""The executor: who goes first, what reaches the thread that collects, and that closing it is safe at any time."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING

import pytest

from harness.executor import Executor
from harness.values import Outcome, Status, TrialError

if TYPE_CHECKING:
    from collections.abc import Iterator

OK = Outcome(Status.OK, 1.0)


def test_the_most_urgent_run_goes_first() -> None:
    executor, started, gate = Executor(1), threading.Event(), threading.Event()

    def wait() -> Outcome:
        started.set()
        gate.wait()
        return OK

    executor.submit((9, 0), wait)
    started.wait()
    for key in ((3, 0), (2, 1), (2, 0), (-1, 20)):
        executor.submit(key, lambda: OK)
    gate.set()
    assert [executor.collect()[0] for _ in range(5)] == [(9, 0), (-1, 20), (2, 0), (2, 1), (3, 0)]
    executor.close()


def test_what_the_machine_did_to_a_run_is_an_error_and_no_outcome() -> None:
    executor = Executor(1)
    executor.submit((1, 0), lambda: Outcome(Status.INFRA_ERROR, detail="its supervisor is gone"))
    with pytest.raises(TrialError, match="this machine cannot run trials: its supervisor is gone; repair that"):
        executor.collect()
    executor.close()


def test_what_a_run_raises_is_raised_where_it_is_collected_and_the_others_run_on() -> None:
    executor = Executor(2)

    def fail() -> Outcome:
        raise TrialError("gpus: are gone")

    executor.submit((1, 0), fail)
    with pytest.raises(TrialError, match="gpus"):
        executor.collect()
    executor.submit((2, 0), lambda: OK)
    assert executor.collect() == ((2, 0), OK)
    executor.close()


@pytest.fixture
def _hasty_threads() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("_hasty_threads")
def test_closing_while_threads_take_runs_raises_nothing() -> None:
    for _ in range(200):
        executor = Executor(4)
        for number in range(20):
            executor.submit((number, 0), lambda: OK)
        executor.close()


def test_what_had_not_begun_when_it_was_closed_never_runs() -> None:
    executor, started, gate = Executor(1), threading.Event(), threading.Event()
    ran: list[str] = []

    def wait() -> Outcome:
        started.set()
        gate.wait()
        return OK

    def run() -> Outcome:
        ran.append("later")
        return OK

    executor.submit((1, 0), wait)
    started.wait()
    executor.submit((2, 0), run)
    executor.close()
    gate.set()
    assert executor.collect() == ((1, 0), OK)
    assert not ran
