"""Policies on a target that really trains: a campaign per policy and seed, each judged by its own last evaluation.

A campaign is what `codegraft search` makes in a folder of its own, so that what was interrupted goes on and what is there is not run again.
It is worth what its incumbent gains over the unedited target on seeds that selected nothing, on the final test where there is one; nothing
where nothing was kept. No share of what can be gained: nobody knows that.
"""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np

from harness.benchmark.statistics import estimate, mean
from harness.benchmark.table import rows_of
from harness.conclude import evaluation
from harness.ledger import read_record
from harness.values import TrialError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from harness.record import Record
    from targets.manifest import Target

_COMMAND = (sys.executable, "-c", "from harness.cli import main; main()", "search")


def compare_on(
    target: Target,
    policies: Sequence[str],
    *,
    n_seeds: int,
    n_trials: int,
    folder: Path,
    announce: Callable[[str], None],
) -> None:
    """Run what is missing of the campaigns, and write table.md.

    Raises: TrialError: a campaign failed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    gains = {
        policy: [_gain(target, policy, seed, n_trials, folder, announce) for seed in range(n_seeds)]
        for policy in policies
    }
    head = ["policy", f"gain in {target.metric} after {n_trials} trials", "campaigns that kept something"]
    rows = [
        [policy, str(estimate(np.array([each]), mean)), f"{sum(gain != 0.0 for gain in each)} of {n_seeds}"]
        for policy, each in gains.items()
    ]
    page = "\n".join(rows_of(head, rows)) + "\n"
    (folder / "table.md").write_text(page)
    announce(page)


def _gain(
    target: Target, policy: str, seed: int, n_trials: int, folder: Path, announce: Callable[[str], None]
) -> float:
    place = folder / f"{target.name}-{policy}-{seed}"
    options = ("--policy", policy, "--seed", str(seed), "--trials", str(n_trials), "--out", str(place))
    ended = subprocess.run([*_COMMAND, str(target.root_dir), *options], stdout=subprocess.DEVNULL, check=False)
    if ended.returncode:
        raise TrialError(
            f"{place}: its campaign ended with exit code {ended.returncode}; see above, then the same command goes on"
        )
    gain = gain_of(read_record(place))
    announce(f"{policy}  seed {seed}  {gain:+.4g}")
    return gain


def gain_of(record: Record) -> float:
    """Return what a campaign's last evaluation found: positive when better, 0 when nothing was kept."""
    found = evaluation(record)
    effect = (found.test or found.fresh) if found is not None else None
    return effect.mean if effect is not None else 0.0
