"""All attacks, in the order of the table. Their place is their number."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.attacks.attack import Attack

ATTACKS: tuple[Attack, ...] = ()
