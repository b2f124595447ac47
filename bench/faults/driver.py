"""codegraft, killed by itself at a named point: `FAULT="feedback 2 before" python -m bench.faults.driver search ...`.

The points are the places where the controller hands something on: an event to the ledger, a version to the store, a run to the runner,
an outcome to the loop, a trial to the policy. They are wrapped here, so the product knows nothing of them. With FAULT_LOG each call adds a
line to that file; with NO_ROOM=0 the guard of free disk is off, so that a disk can really fill.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections import Counter
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_POINTS = {
    "harness.ledger:Ledger": ("_append",),
    "harness.objects:ObjectStore": ("commit", "mark_trial", "mark_best", "mark_shrunk"),
    "harness.measure:Runner": ("run",),
    "harness.executor:Executor": ("submit", "collect"),
    "policy.random:RandomPolicy": ("propose", "feedback", "recover"),
    "policy.local:LocalPolicy": ("propose", "feedback", "recover"),
}
_OF_PPO = {"policy.ppo:PpoPolicy": ("feedback", "save")}


class Fault:
    """Counts the calls of all points, and ends this process at one of them."""

    def __init__(self, point: str, log: str) -> None:
        self._point, self._log = point, log
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def wrap(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that counts, and kills before or after its k-th call."""

        def wrapped(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - whatever it wraps
            name = f"append-{args[1]}" if function.__name__ == "_append" else function.__name__
            with self._lock:
                self._counts[name] += 1
                call = f"{name} {self._counts[name]}"
                if self._log:
                    with Path(self._log).open("a") as log:
                        log.write(f"{call}\n")
            self._kill_at(f"{call} before")
            result = function(*args, **kwargs)
            self._kill_at(f"{call} after")
            return result

        return wrapped

    def _kill_at(self, point: str) -> None:
        if point == self._point:
            os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    """Be codegraft with the fault that the environment names."""
    fault = Fault(os.environ.get("FAULT", ""), os.environ.get("FAULT_LOG", ""))
    points = {**_POINTS, **(_OF_PPO if "ppo" in sys.argv else {})}
    for place, names in points.items():
        module, _, owner = place.partition(":")
        cls = getattr(import_module(module), owner)
        for name in names:
            setattr(cls, name, fault.wrap(getattr(cls, name)))
    if "NO_ROOM" in os.environ:
        guards: Any = import_module("harness.guards")
        guards._ROOM_BYTES = int(os.environ["NO_ROOM"])  # noqa: SLF001
    import_module("harness.cli").main()


if __name__ == "__main__":
    main()
