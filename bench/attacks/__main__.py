"""Attack the harness as it is, then each time without the guard that stops the attack: `make attack`.

The table says what happened, and whether the same attack succeeds once its guard is gone: what nothing would miss is no guard.
"""

from __future__ import annotations

import shutil
import sys
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import click

from bench.attacks.broken import attack
from bench.attacks.shipped import ATTACKS
from harness.workspace import make_scratch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.attacks.attack import Guard
    from bench.attacks.stage import Happened

_AT_ONCE = 2


def carry_out(numbers: Sequence[int]) -> dict[int, tuple[Happened, Happened]]:
    """Carry attacks out. Returns: number -> what happened to the whole harness, and to the one without its guard."""
    groups: dict[Guard | None, list[int]] = defaultdict(list)
    groups[None] = list(numbers)
    for number in numbers:
        groups[ATTACKS[number].guard].append(number)
    scratch = make_scratch()  # where runs have theirs: a hard link between the two is possible
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        folders = [scratch / str(i) for i in range(len(groups))]
        runs = pool.map(lambda group: list(attack(*group)), zip(groups, groups.values(), folders, strict=True))
        found = dict(zip(groups, ({one.number: one for one in run} for run in runs), strict=True))
    shutil.rmtree(scratch)
    return {number: (found[None][number], found[ATTACKS[number].guard][number]) for number in numbers}


@click.command()
@click.argument("words", nargs=-1)
def main(words: tuple[str, ...]) -> None:
    """Attack the harness, only with attacks whose names hold one of the WORDS where there are any."""
    numbers = [number for number, one in enumerate(ATTACKS) if not words or any(word in one.name for word in words)]
    n_accepted = n_controls = n_wrong = 0
    for number, (whole, broken) in carry_out(numbers).items():
        one = ATTACKS[number]
        is_right = whole.is_expected() and (broken.paid or not one.can_succeed())
        n_accepted += whole.paid
        n_controls += broken.paid
        n_wrong += not is_right
        click.echo(f"{one.row:>4}  {one.name}{'' if is_right else '  NOT AS EXPECTED'}")
        click.echo(f"      {'ACCEPTED' if whole.paid else 'stopped '}  {whole.ended}")
        click.echo(f"      {'succeeds' if broken.paid else 'DOES NOT'}  without {one.guard.name}: {broken.ended}")
    click.echo(f"{len(numbers)} attacks, {n_accepted} accepted, {n_controls} controls succeed")
    sys.exit(bool(n_accepted or n_wrong))


if __name__ == "__main__":
    main()
