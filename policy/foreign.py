"""Policies that installed packages bring, by an entry point of the group `codegraft.policies`: a name, and what makes a policy of a seed.

Code of others may fail in any way: what goes wrong in it is said in one line, with the policy's name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from mutator.edit import Edit
from policy.protocol import Move, PolicyError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from policy.protocol import Policy, Scene, Tried

GROUP = "codegraft.policies"
_VERBS = ("propose", "feedback", "recover")


def find_foreign() -> dict[str, EntryPoint]:
    """Return what packages bring, by name."""
    return {point.name: point for point in sorted(entry_points(group=GROUP), key=lambda point: point.name)}


def make_foreign(point: EntryPoint, seed: int) -> Foreign:
    """Build a policy.

    Raises: PolicyError: the package makes none.
    """
    made = f"policy {point.name}: {point.value} makes none"
    try:
        policy: Policy = point.load()(seed)
    except Exception as error:
        raise PolicyError(f"{made} ({_say(error)}); repair its package") from error
    lacking = [verb for verb in _VERBS if not callable(getattr(policy, verb, None))]
    if lacking:
        raise PolicyError(f"{made}, it has no {lacking[0]}; repair its package")
    return Foreign(point.name, policy)


@dataclass(frozen=True, slots=True)
class Foreign:
    """A policy that a package brings. Raises: PolicyError: it failed, or proposed what is no move."""

    name: str
    policy: Policy

    def propose(self, scene: Scene, n: int) -> tuple[Move, ...]:
        """Pick at most n different moves."""
        found = self._ask("propose", scene, n)
        if not isinstance(found, Sequence) or not all(map(_is_move, found)):
            said = f"{found!r:.60}".splitlines()[0]
            raise PolicyError(f"policy {self.name}: proposed {said}; return a tuple of policy.protocol.Move")
        return tuple(found)

    def feedback(self, trials: Sequence[Tried]) -> None:
        """Learn from finished trials."""
        self._ask("feedback", trials)

    def recover(self, scenes: Sequence[Scene], trials: Sequence[Tried]) -> None:
        """Learn from an interrupted campaign."""
        self._ask("recover", scenes, trials)

    def _ask(self, verb: str, *args: object) -> Any:  # noqa: ANN401 - whatever it returns
        try:
            return getattr(self.policy, verb)(*args)
        except Exception as error:
            raise PolicyError(f"policy {self.name}: {verb} failed ({_say(error)}); repair its package") from error


def _is_move(found: object) -> bool:
    return isinstance(found, Move) and all(isinstance(edit, Edit) for edit in found.script)


def _say(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]
