"""Slots: how many runs are under way at once, and what each of them has for itself.

A slot is given to one run at a time, with its GPU if there is one per slot. Memory is promised to each, so a machine that has less
than all promises together is refused. Processors are not divided: how many threads a run uses changes its results, so that is the
manifest's to say, and more threads than processors are only pointed out.
"""

from __future__ import annotations

import os
import queue
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from harness.cgroup import find_delegated
from harness.values import TrialError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_VERSION_1 = Path("/sys/fs/cgroup/memory/memory.limit_in_bytes")  # of a container, as it sees it


@dataclass(frozen=True, slots=True)
class Machine:
    """What all slots share."""

    n_processors: int
    memory_bytes: int

    @classmethod
    def look(cls) -> Self:
        """Look at this machine, or at the part of it that this process may use."""
        total = next(line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemTotal:"))
        group = find_delegated()
        files = [_VERSION_1, *([group / "memory.max"] if group else [])]
        said = [file.read_text().strip() for file in files if file.is_file()]
        limits = [int(each) for each in said if each.isdigit()]  # or "max"
        return cls(len(os.sched_getaffinity(0)), min([int(total.split()[1]) << 10, *limits]))


class Slots:
    """The slots of a runner. A run lives in one thread, which takes a slot and gives it back."""

    def __init__(self, n_slots: int, gpus: Sequence[str] = ()) -> None:
        """Make slots; with GPUs, each has one of its own.

        gpus: what CUDA_VISIBLE_DEVICES is to say, one for each slot; more stay idle.
        Raises: TrialError: there are too few GPUs, or one is named twice.
        """
        if gpus and n_slots > len(gpus):
            raise TrialError(f"slots: are {n_slots}, and GPUs are {len(gpus)} ({','.join(gpus)}); give a GPU per slot")
        if len(set(gpus)) < len(gpus):
            raise TrialError(f"gpus: are {','.join(gpus)}; name each once, a slot has one for itself")
        self._n_slots = n_slots
        self._free = queue.LifoQueue[str]()  # GPUs; the last one used is still warm
        for number in reversed(range(n_slots)):
            self._free.put(gpus[number] if gpus else "")
        self._mine = threading.local()

    @contextmanager
    def take(self) -> Iterator[None]:
        """Wait for a slot and have it while the context lasts."""
        gpu = self._free.get()
        self._mine.gpu = gpu
        try:
            yield
        finally:
            del self._mine.gpu
            self._free.put(gpu)

    def environment(self) -> dict[str, str]:
        """Return what the environment of a run in this thread's slot says of it."""
        gpu = getattr(self._mine, "gpu", "")
        return {"CUDA_VISIBLE_DEVICES": gpu} if gpu else {}

    def refuse_overcommitment(self, memory_bytes: int, machine: Machine) -> None:
        """Compare what each slot may use with what there is.

        Raises: TrialError: it is more.
        """
        if self._n_slots * memory_bytes > machine.memory_bytes:
            n_fitting = machine.memory_bytes // memory_bytes
            there, each = machine.memory_bytes >> 20, memory_bytes >> 20
            change = f"give at most {n_fitting} slots, or less memory_mb" if n_fitting else "give less memory_mb"
            raise TrialError(f"slots: are {self._n_slots} of {each} MB each, and the machine has {there} MB; {change}")

    def crowding(self, n_threads: int, machine: Machine) -> str:
        """Say that runs will wait for processors; empty when they need not."""
        wanted = self._n_slots * n_threads
        if wanted <= machine.n_processors:
            return ""
        fitting = max(1, machine.n_processors // self._n_slots)
        said = f"slots: {self._n_slots} of {n_threads} threads share {machine.n_processors} processors"
        return f"{said}; {fitting} threads each would not wait, and give other results"
