"""When a training is not worth the rest of its budget: rules that read its curve, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence


class StoppingRule(Protocol):
    """Whether one training goes on, asked at every mark of its budget."""

    @property
    def audited(self) -> bool:
        """Whether the run goes on whatever the rule says, so that a campaign learns what its rule costs."""
        ...

    def verdict(self, curve: Sequence[float]) -> str:
        """Say why to stop a training with these marks so far; empty: it goes on."""
        ...
