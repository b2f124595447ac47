"""The programs of a campaign as baselines compare them: which script led to each, and how far it leads."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from policy.tally import identify

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mutator.edit import Edit
    from policy.protocol import Tried
    from policy.traits import Floats

Key = frozenset[tuple[object, ...]]
UNEDITED: Key = frozenset()


class Lineage:
    """Measured programs by the number of their trial, oldest first; at first the unedited target alone."""

    def __init__(self) -> None:
        self.scripts: dict[int, tuple[Edit, ...]] = {0: ()}
        self.leads: dict[int, float] = {0: 0.0}
        self.tried: set[Key] = {frozenset()}  # also those that failed

    def add(self, trial: Tried) -> None:
        """Take note of a trial; where its parent is not known (its trial was not fed back) of nothing."""
        if trial.parent not in self.scripts:
            return
        script = (*self.scripts[trial.parent], *trial.script)
        self.tried.add(key_of(script))
        if trial.ok:
            self.scripts[trial.number], self.leads[trial.number] = script, trial.lead

    def is_new(self, parent: int, script: Iterable[Edit]) -> bool:
        """Whether no trial made this program, in whatever order."""
        return key_of((*self.scripts[parent], *script)) not in self.tried


def key_of(script: Iterable[Edit]) -> Key:
    """Name the program that a script leads to: edits at different sites may come in any order, those at one site may not."""
    at, key = Counter[str](), set()
    for edit in script:
        key.add((*identify(edit), at[edit.site]))
        at[edit.site] += 1
    return frozenset(key)


def apart(programs: Sequence[Key], others: Sequence[Key]) -> Floats:
    """Return how many edits one of two programs has and the other has not: (len(programs), len(others))."""
    columns = {edit: column for column, edit in enumerate(dict.fromkeys(edit for key in programs for edit in key))}
    one, other = (np.zeros((len(keys), len(columns))) for keys in (programs, others))
    for made_of, keys in ((one, programs), (other, others)):
        for row, key in enumerate(keys):
            made_of[row, [columns[edit] for edit in key if edit in columns]] = 1.0
    sizes, other_sizes = (np.array([len(key) for key in keys], np.float64) for keys in (programs, others))
    found: Floats = sizes[:, None] + other_sizes - 2 * one @ other.T
    return found
