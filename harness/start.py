"""Starting the launcher of trials: as planned, or else in the next best way that gives the same results, which is said."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from harness.launcher import Launcher, Surroundings
from harness.orders import Access, Order, call
from harness.trial import do_nothing
from harness.values import TrialError
from harness.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from harness.orders import Bounds


class Way(NamedTuple):
    """One way to start it."""

    change: str  # against the way before, for who reads it
    preload: Sequence[str]
    within: Surroundings


def start_first(
    ways: Sequence[Way], scratch: Path, env: Mapping[str, str], announce: Callable[[str], object]
) -> Launcher:
    """Start a launcher in the first way that works, and announce each that does not.

    Raises: TrialError: none works; what the last one says.
    """
    way, *others = ways
    launcher = Launcher(way.preload, scratch, env, way.within)
    try:
        launcher.wait_until_ready()
    except TrialError as error:
        launcher.close()
        if not others:
            raise
        announce(f"{error}; goes on {others[0].change}")
        return start_first(others, scratch, env, announce)
    return launcher


def look(trials: Launcher, scratch: Path, bounds: Bounds) -> str:
    """Start a process as a trial is started, and return the label of its isolation."""
    with Workspace(scratch, {}) as space:
        access = Access((), (str(space.tmp),))
        order = Order(call(do_nothing), str(space.work), {}, bounds, access=access)
        return trials.start(order).wait().isolation
