"""The local executor: runs on as many threads as there are slots, the most urgent first, collected by the thread that submitted them.

A thread only waits for the processes of its run, so threads cost nothing. The order in which runs end is not the order in which they
count: whoever collects sorts.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from queue import Empty, PriorityQueue, SimpleQueue
from typing import TYPE_CHECKING

from harness.values import Status, TrialError

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.values import Outcome

    Run = Callable[[], Outcome]

Key = tuple[int, int]  # trial, index of the run: the smaller, the more urgent

_LAST = (1 << 62, 0)


class Executor:
    """Calls under way. Its threads end with the process, or when it is closed and their call has ended."""

    def __init__(self, n_slots: int) -> None:
        self._todo: PriorityQueue[tuple[Key, int, Run | None]] = PriorityQueue()
        self._done: SimpleQueue[tuple[Key, Outcome | BaseException]] = SimpleQueue()
        self._n_slots = n_slots
        self._n_submitted = 0
        for _ in range(n_slots):
            threading.Thread(target=self._work, daemon=True).start()

    def submit(self, key: Key, run: Run) -> None:
        """Make a run wait for a free slot, behind the more urgent ones."""
        self._n_submitted += 1
        self._todo.put((key, self._n_submitted, run))

    def collect(self) -> tuple[Key, Outcome]:
        """Wait for the next run that ends. Raises what the run raised.

        What the machine did to a run is no outcome of a trial, and nobody gets to write it down.
        Raises: TrialError: this machine could not run it, also when it was tried once more.
        """
        key, found = self._done.get()
        if isinstance(found, BaseException):
            raise found
        if found.status is Status.INFRA_ERROR:
            raise TrialError(f"this machine cannot run trials: {found.detail}; repair that and give the same command")
        return key, found

    def close(self) -> None:
        """Forget the runs that have not begun; those under way end when the runner does."""
        with suppress(Empty):  # a thread that ends its run may take one meanwhile
            while True:
                self._todo.get_nowait()
        for _ in range(self._n_slots):
            self._todo.put((_LAST, 0, None))

    def _work(self) -> None:
        while True:
            key, _, run = self._todo.get()
            if run is None:
                return
            try:
                self._done.put((key, run()))
            except BaseException as error:  # noqa: BLE001 - carried to the thread that collects, which raises it
                self._done.put((key, error))
