"""All attacks, in the order of the table. Their place is their number."""

from __future__ import annotations

from bench.attacks import machine, metric

ATTACKS = (*metric.ATTACKS, *machine.ATTACKS)
