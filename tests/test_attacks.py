"""Attacks on the harness, and on harnesses without the guard that stops them: `make attack` prints the same as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bench.attacks.__main__ import carry_out
from bench.attacks.attack import Change, Guard
from bench.attacks.broken import ROOT, take_out
from bench.attacks.shipped import ATTACKS

if TYPE_CHECKING:
    from pathlib import Path

    from bench.attacks.stage import Happened

QUICK = ("writes a file of the user", "looks ahead in what it is asked")
NUMBERS = range(len(ATTACKS))


@pytest.fixture(scope="module")
def quick() -> dict[int, tuple[Happened, Happened]]:
    return carry_out([number for number in NUMBERS if ATTACKS[number].name in QUICK])


@pytest.fixture(scope="module")
def every() -> dict[int, tuple[Happened, Happened]]:
    return carry_out(NUMBERS)


def test_known_attacks_are_stopped_and_succeed_without_their_guard(quick: dict[int, tuple[Happened, Happened]]) -> None:
    assert len(quick) == len(QUICK)
    for whole, broken in quick.values():
        assert not whole.paid, whole
        assert whole.is_expected(), whole
        assert broken.paid, broken


@pytest.mark.slow
@pytest.mark.parametrize("number", NUMBERS, ids=[attack.name for attack in ATTACKS])
def test_attack_is_stopped_or_flagged_by_name(every: dict[int, tuple[Happened, Happened]], number: int) -> None:
    whole, _ = every[number]
    assert not whole.paid, whole
    assert whole.is_expected(), whole


@pytest.mark.slow
@pytest.mark.parametrize("number", NUMBERS, ids=[attack.name for attack in ATTACKS])
def test_attack_succeeds_without_its_guard(every: dict[int, tuple[Happened, Happened]], number: int) -> None:
    _, broken = every[number]
    assert broken.paid or not ATTACKS[number].can_succeed(), broken


def test_names_are_unique_and_every_row_of_the_table_is_there() -> None:
    assert len({attack.name for attack in ATTACKS}) == len(ATTACKS)
    assert {"1.5", *map(str, range(15, 23))} <= {attack.row for attack in ATTACKS}


def test_every_guard_is_where_its_change_expects_it(tmp_path: Path) -> None:
    guards = {attack.guard for attack in ATTACKS}
    for guard in guards:
        for change in guard.changes:
            copied = tmp_path / change.file
            copied.parent.mkdir(parents=True, exist_ok=True)
            copied.write_bytes((ROOT / change.file).read_bytes())
        take_out(guard, tmp_path)


def test_guard_that_is_not_there_cannot_be_taken_out() -> None:
    with pytest.raises(ValueError, match="0 times"):
        take_out(Guard("a lost guard", (Change("harness/measure.py", "no such line", ""),)), ROOT)
