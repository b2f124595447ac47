"""What the phases of a run took, for whoever wants to know where the time of a campaign goes; nothing depends on it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Stopwatch:
    """Laps that lie end to end, from the making of the watch on."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Start. Units: the clock counts seconds."""
        self._clock = clock
        self._start = self._last = clock()
        self.laps: tuple[tuple[str, float], ...] = ()

    def lap(self, name: str) -> None:
        """End a phase; the next one begins."""
        now = self._clock()
        self.laps = (*self.laps, (name, now - self._last))
        self._last = now

    def waited(self) -> None:
        """Say that all so far was waiting: for a slot, or for an attempt that came to nothing."""
        self._last = self._start
        self.laps = ()
        self.lap("wait")
