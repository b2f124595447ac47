"""What a script makes of a target, before anything runs: a program with its place and size, or the reason for which there is none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from graph.complexity import Complexity, complexity
from graph.features import Features, canonical_digest, distance, features
from mutator.kind import Reason, Refused

if TYPE_CHECKING:
    from graph.snapshot import Snapshot
    from harness.landscape.table import Script
    from mutator.code import Code


@dataclass(frozen=True, slots=True)
class Program:
    """An edited program."""

    snapshot: Snapshot
    digest: str  # equal for programs that compute the same, up to names and layout
    distance: float  # from the unedited target
    grown: Complexity


class Origin:
    """The unedited target, and what scripts make of it."""

    def __init__(self, code: Code) -> None:
        self._code = code
        self._features: Features = features(code.snapshot.mutable)
        self._complexity = complexity(code.snapshot.mutable)

    def program(self, script: Script) -> Program | Reason:
        """Plan all edits of a script on the unedited target.

        Raises: EditError: one of them is no edit of the target at all.
        """
        try:
            snapshot = self._code.apply_together(*script).snapshot if script else self._code.snapshot
        except Refused as refused:
            return refused.reason
        files = snapshot.mutable
        away = distance(self._features, features(files))
        return Program(snapshot, canonical_digest(files), away, complexity(files) - self._complexity)
