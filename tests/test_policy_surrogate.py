"""The Gaussian process beside the network, on its own."""

import math

import pytest
import torch

from policy.surrogate import Points, fit_surrogate, log_expected_improvement


def points(*pairs: tuple[float, float]) -> Points:
    tensor = torch.tensor(pairs, dtype=torch.float64).reshape(len(pairs), 2)
    return Points(tensor[:, :1], tensor[:, 1:], tensor[:, 1])


def rewards(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


TRIED = points(*((place, choice) for place in (0.0, 4.0) for choice in (-0.8, -0.4, 0.4, 0.8)))
PAID = rewards(1.6, 0.8, -0.8, -0.9, -0.5, -0.4, -0.5, -0.4)


def test_it_expects_what_was_seen_where_it_was_seen_and_knows_little_elsewhere():
    belief = fit_surrogate(TRIED, PAID).predict(points((0.0, -0.8), (0.0, 0.8), (90.0, 0.0)))
    good, bad, unknown = belief.mean.tolist()
    assert good > 0.8 > 0.0 > bad
    assert unknown == pytest.approx(float(PAID.sum()) / (len(PAID) + 1), abs=1e-6)
    assert belief.deviation[2] > 1.5 * belief.deviation[0]


def test_improvement_is_expected_where_the_reward_was_good():
    belief = fit_surrogate(TRIED, PAID).predict(points((0.0, -0.6), (0.0, 0.6), (4.0, 0.6)))
    assert belief.log_improvement.argmax() == 0
    worse = fit_surrogate(TRIED, -PAID).predict(points((0.0, -0.6), (0.0, 0.6), (4.0, 0.6)))
    assert worse.log_improvement.argmax() == 1  # the negative control: with the signs turned the opposite is expected


def test_a_loss_in_one_direction_speaks_for_the_other():
    belief = fit_surrogate(points((0.0, 0.8)), rewards(-1.0)).predict(points((0.0, -0.8), (0.0, 0.8)))
    assert belief.mean[0] > belief.mean[1]


def test_before_the_first_trial_all_edits_are_alike():
    belief = fit_surrogate(points(), rewards()).predict(points((0.0, 0.5), (7.0, 0.5)))
    assert belief.mean.tolist() == [0.0, 0.0]
    assert belief.log_improvement[0] == belief.log_improvement[1]


def test_how_bad_a_crash_was_does_not_change_what_is_believed():
    some, more = (
        fit_surrogate(TRIED, torch.cat([PAID[:-1], rewards(worst)])).predict(TRIED) for worst in (-2.0, -50.0)
    )
    assert torch.equal(some.mean, more.mean)


@pytest.mark.parametrize(("mean", "deviation"), [(0.5, 0.3), (-1.0, 0.4), (-2.0, 0.4), (3.0, 0.1)])
def test_log_expected_improvement_is_the_integral(mean, deviation):
    x = torch.linspace(0.0, mean + 12 * deviation, 200_001, dtype=torch.float64)
    density = torch.exp(-(((x - mean) / deviation) ** 2) / 2) / (deviation * math.sqrt(2 * math.pi))
    expected = math.log(float(torch.trapezoid(x * density, x)))
    found = log_expected_improvement(rewards(mean), rewards(deviation))
    assert float(found) == pytest.approx(expected, abs=1e-3)


def test_no_edit_is_beyond_hope():
    assert float(log_expected_improvement(rewards(-1e6), rewards(0.1))) > -50
