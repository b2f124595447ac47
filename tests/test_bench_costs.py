"""What `bench.costs` says of how well costs are foreseen."""

from __future__ import annotations

import numpy as np

from bench.costs import open_scripts
from policy.costs import CostKernel


def test_costs_are_foreseen_better_with_the_trials_of_eighty_scripts_than_with_none():
    scripts = open_scripts("recall")
    before, after = (scripts.foresee(n, CostKernel()) for n in (0, 80))

    def error(foreseen):
        return np.sqrt(((foreseen.mean - foreseen.doublings) ** 2).mean())

    assert error(after) < error(before) < after.doublings.std()
