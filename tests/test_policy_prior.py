"""What other targets promise of edits, and how far a campaign trusts it."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from graph.snapshot import Snapshot
from mutator.code import Code
from policy.effects import Experience, bend, read_gain, slope
from policy.kernel import Kernel
from policy.prior import fit_prior
from policy.testing import SOURCE
from policy.traits import Traits, describe


def described(source: bytes = SOURCE, path: str = "train.py") -> tuple[Traits, list[str]]:
    code = Code.of(Snapshot({path: source}))
    edits = tuple(code.edits())
    return describe(code.graph, edits), [edit.kind for edit in edits]


def test_what_gained_elsewhere_is_promised_for_its_like_under_other_names():
    there, kinds = described()
    gained = np.array([2.0 if kind == "flip-flag" else 0.0 for kind in kinds])
    assert gained.any()
    prior = fit_prior(there, gained, np.full(len(there), 0.5))
    here, kinds_here = described(SOURCE.replace(b"rate", b"speed"), "other.py")
    promise = dict(zip(kinds_here, prior.promise(here)[0], strict=True))
    assert promise.pop("flip-flag") > 2 * max(map(abs, promise.values()))


def test_promises_are_small_where_one_target_says_little_of_another():
    there, _ = described()
    sure, unsure = (fit_prior(there, np.ones(len(there)), np.full(len(there), noise)) for noise in (0.1, 100.0))
    assert sure.promise(there)[0].mean() > 2 * unsure.promise(there)[0].mean() > 0


def test_what_cost_much_elsewhere_is_expected_to_cost_much_and_what_was_not_seen_nothing():
    there, kinds = described()
    doublings = np.array(
        [1.5 if kind == "flip-flag" else math.nan if kind == "scale-literal" else 0.0 for kind in kinds]
    )
    nothing = np.zeros(len(there))
    prior = fit_prior(there, nothing, nothing + 1.0, doublings)
    here, kinds_here = described(SOURCE.replace(b"rate", b"speed"), "other.py")
    price = dict(zip(kinds_here, prior.promise(here)[1], strict=True))
    assert price["flip-flag"] > 0.7 > 0.2 > abs(price["scale-literal"])
    assert not fit_prior(there, nothing, nothing + 1.0).promise(here)[1].any()


def test_a_campaign_whose_trials_contradict_the_promises_trusts_them_less():
    traits, _ = described()
    traits = replace(traits, promise=np.where(np.arange(len(traits)) % 2, 2.0, -2.0))
    tried, left = traits[range(len(traits) - 2)], traits[[len(traits) - 2, len(traits) - 1]]
    kernel = Kernel(kind=0.0, site=0.0, unit=0.0, place=0.0, content=0.0, kind_content=0.0, any=0.0, slope=0.0, bow=0.0)

    def believed(sign: float) -> float:
        experience = Experience()
        for row in range(len(tried)):
            experience.add(tried[[row]], *read_gain(float(sign * tried.promise[row]), (1.0, 1.0)))
        excess = experience.fit(kernel).believe(left).mean - kernel.expect_unpromised(left)
        return float(excess @ np.sign(left.promise))

    assert believed(-1.0) < -1.0  # 4 is promised
    assert believed(1.0) > 1.0


@pytest.mark.parametrize("gain", [-40.0, -3.0, -0.1, 0.2, 2.0, 50.0])
def test_gains_are_bent_smoothly_and_losses_have_an_end(gain: float):
    assert slope(gain) == pytest.approx((bend(gain + 1e-6) - bend(gain - 1e-6)) / 2e-6, rel=1e-4)
    assert -3.0 < bend(gain) < bend(gain + 0.1)
    assert abs(bend(gain)) <= abs(gain)
