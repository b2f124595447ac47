"""What is fitted to a table: the noise, the links, the surrogate, and which scripts have no metric."""

import math
import statistics
from dataclasses import replace

import numpy as np
import pytest

from harness.landscape.crashes import fit_crashes, fit_limit
from harness.landscape.kernel import covariances, effects_of, likeness_of
from harness.landscape.link import Link
from harness.landscape.model import Model, fit_model, read_rows
from harness.landscape.noise import fit_noise
from harness.landscape.surrogate import Fold, Observed
from harness.values import TrialError
from tests import landscapes


@pytest.fixture
def model() -> Model:
    return landscapes.model()


def test_the_noise_and_what_programs_share_of_it_are_found(model: Model):
    drawn = [landscapes.common(seed) for seed in range(8)]
    found = [model.noise.common(seed) / landscapes.SD for seed in range(8)]
    assert statistics.correlation(found, drawn) < -0.8  # a gain is a lower metric
    own = math.sqrt(1.0 - landscapes.SHARED) * landscapes.SD
    assert model.noise.sd == pytest.approx(math.hypot(own, statistics.stdev(drawn) * landscapes.SD), rel=0.3)
    assert 0.2 < model.noise.shared < 0.85
    assert model.noise.growth < 0.8  # the table's noise does not grow
    assert model.noise.baseline == pytest.approx(landscapes.BASELINE, abs=landscapes.SD)


def test_independent_seeds_share_nothing():
    draws = np.random.default_rng(0)
    metrics = {(str(i),) if i else (): dict(enumerate(draws.normal(1.0, 0.1, 8))) for i in range(40)}
    assert fit_noise(metrics).shared < 0.1


def test_noise_that_grows_with_the_effect_is_seen_to_grow():
    draws = np.random.default_rng(0)
    metrics = {(): dict(enumerate(draws.normal(0.0, 1.0, 8)))}
    for i in range(1, 200):
        gain = float(i % 15)
        metrics[str(i),] = dict(enumerate(draws.normal(gain, math.sqrt(1.0 + gain), 4)))
    assert fit_noise(metrics).growth == pytest.approx(1.0, abs=0.4)


def test_noise_ends_where_nothing_can_be_better():
    draws = np.random.default_rng(0)
    metrics = {(str(i),) if i else (): dict(enumerate(draws.normal(1.0, 0.1, 3))) for i in range(20)}
    noise, free = fit_noise(metrics, bound=0.0), fit_noise(metrics)
    assert noise.own_sd(0.0) == free.own_sd(0.0)
    assert noise.own_sd(noise.most - 0.01) == pytest.approx(0.01 * noise.sd)
    assert noise.own_sd(noise.most) == 0.0
    assert free.most == math.inf


def test_a_diverged_program_says_nothing_of_the_noise():
    draws = np.random.default_rng(0)
    metrics = {(str(i),) if i else (): dict(enumerate(draws.normal(1.0, 0.1, 3))) for i in range(20)}
    assert fit_noise({**metrics, ("x",): {0: 1e20, 1: 3e25}}).sd == pytest.approx(fit_noise(metrics).sd)


def test_one_run_of_the_unedited_target_is_too_few():
    with pytest.raises(TrialError, match="baseline: has 1 runs with a metric; a landscape needs 2"):
        fit_noise({(): {0: 1.0}})


@pytest.mark.parametrize("link", [Link(), Link(3.0), Link(3.0, 8.0)])
def test_a_link_is_undone_by_its_inverse_and_rises(link: Link):
    gains = np.linspace(-30.0, 7.0, 200)
    assert np.allclose(link.unbend(link.bend(gains)), gains)
    steps = np.diff(link.bend(gains)) / np.diff(gains)
    assert np.all(steps > 0.0)
    assert np.allclose(steps, link.slope((gains[1:] + gains[:-1]) / 2), rtol=0.02)


def test_effects_and_interactions_are_what_the_kernel_predicts():
    draws = np.random.default_rng(0)
    addresses = [single.address for single in landscapes.plan(600).singles[:12]]
    likeness = likeness_of(addresses, draws.normal(size=12))
    scripts, asked = ((draws.random((n, 12)) < 0.3).astype(float) for n in (20, 7))
    given, weights = draws.normal(size=20), draws.random(len(likeness.names))
    kernels = covariances(likeness, asked, scripts)
    expected = sum(weight * kernel for weight, kernel in zip(weights, kernels, strict=True)) @ given
    effects, pairs = effects_of(likeness, weights, scripts, given)
    summed = [script @ effects + script @ pairs @ script / 2 for script in asked]
    assert np.allclose(expected, summed)


def test_the_surrogate_is_nearer_to_held_out_scripts_than_sums_of_effects_and_than_nothing(model: Model):
    errors = {(each.n_edits, each.predictor): each.rmse for each in model.surrogate.errors}
    for n_edits in ("2", "3-6", "7+"):
        for other in ("additive", "additive in the metric", "unedited target"):
            assert errors[n_edits, "surrogate"] < 0.9 * errors[n_edits, other]


def test_errors_are_those_of_scripts_that_are_expected_to_gain_as_much_and_the_noise_is_out_of_them():
    draws = np.random.default_rng(0)
    addresses = tuple(single.address for single in landscapes.plan(600).singles[:40])
    scripts = np.array([[float(j in (i % 40, (i + 1 + i // 40) % 40)) for j in range(40)] for i in range(200)])
    expected = np.where(np.arange(200) < 100, 0.0, 20.0)
    wrong = draws.normal(size=200) * np.where(expected > 3.0, 9.0, 1.0)
    noise = draws.normal(size=200)
    observed = Observed(addresses, scripts, expected + wrong + noise, np.ones(200), math.inf)
    found = Fold(observed, Link(), observed.gains, observed.variances).residuals(expected)
    little, much = found[1][1], found[1][3]
    assert much[-1] > 4 * little[-1] > 0.0
    assert np.std(wrong[:100]) * 1.96 == pytest.approx(little[-1], rel=0.4)
    assert found[2] == found[1]  # nothing of three edits is known


def test_no_prediction_is_better_than_can_be_true():
    addresses = tuple(single.address for single in landscapes.plan(600).singles[:40])
    alone, pairs = np.eye(40), np.array([np.eye(40)[n] + np.eye(40)[n + 20] for n in range(20)])
    gains = np.concatenate([np.full(40, 60.0), np.full(20, 80.0)])  # two together are at the bound
    observed = Observed(addresses, np.concatenate([alone, pairs]), gains, np.full(60, 0.01), 80.0)
    fold = Fold(observed, Link(), gains, observed.variances)
    assert fold.leave_out(np.eye(60), np.full(60, -100.0), 0).max() == 80.0
    assert {error.predictor: error.rmse for error in fold.errors(gains)}["additive"] == 0.0


def test_a_table_knows_the_best_metric_that_can_be_true():
    table = landscapes.table()
    bound = landscapes.BASELINE - landscapes.SD
    held = replace(table, provenance=replace(table.provenance, bound=bound))
    assert fit_model(held).noise.bound == bound
    assert table.provenance.bound == 0.02  # as toy's manifest says


def test_a_crashing_edit_and_a_crashing_pair_are_known_and_kinds_say_something_of_others():
    scale, insert = "scale-literal@config:Config/literal.{}?by=2.0", "insert-scale@optim:lr_at/op.{}?by=2.0"
    scales, inserts = [scale.format(name) for name in "abcd"], [insert.format(name) for name in "pqrs"]
    works = {(a,): True for a in (*scales, *inserts)} | {("x@y",): False}
    works |= {(insert, scale): False for scale in scales[:2] for insert in inserts[:3]}
    works |= {(scales[0], scales[1]): True, (scales[2], scales[3]): True}
    addresses = sorted({a for script in works for a in script})
    crashes = fit_crashes(works, addresses)
    chances, at = crashes.chances, {address: number for number, address in enumerate(addresses)}
    assert crashes.alone[at["x@y"]]
    assert chances[at[scales[0]], at[inserts[0]]] == 1.0
    assert chances[at[scales[0]], at[scales[1]]] == 0.0
    assert chances[at[scales[3]], at[inserts[3]]] > chances[at[scales[1]], at[scales[2]]]
    assert crashes.brier < crashes.brier_overall


def test_of_a_longer_script_that_fails_one_pair_fails_and_of_one_that_works_none():
    addresses = [f"scale-literal@config:Config/literal.{name}?by=2.0" for name in "abcdefghijklmn"]
    works = {(address,): True for address in addresses} | {tuple(addresses[:6]): True, tuple(addresses[6:12]): False}
    crashes = fit_crashes(works, addresses)
    assert crashes.overall == pytest.approx(1.5 / (15 + 15 + 10))
    assert not crashes.chances[:6, :6].any()
    assert 0.0 < crashes.chances[12, 13] < 0.1


def test_what_takes_too_long_is_told_by_what_its_edits_cost_alone():
    doublings = {(name,): float(doubled) for doubled, name in enumerate("abcde")}
    in_time, late = [("a", "b"), ("b", "c"), ("a", "b", "d")], [("c", "d"), ("d", "e"), ("b", "c", "d")]
    works = dict.fromkeys(in_time, True) | dict.fromkeys(late, False)
    assert fit_limit(works, doublings) == 4.0
    assert fit_limit({**works, ("c", "e"): True}, doublings) == 4.0  # one is told wrong, above it two would be
    assert fit_limit(dict.fromkeys(in_time, True), doublings) == math.inf


def test_a_duplicate_has_the_metrics_of_what_it_duplicates():
    reading = read_rows(landscapes.table())
    duplicates = [row.script for row in landscapes.table().rows if row.same_as == ()]
    assert all(reading.metrics[script] == reading.metrics[()] for script in duplicates)
    crashed = [row.script for row in landscapes.table().rows if math.isnan(row.metric) and row.same_as is None]
    assert crashed
    assert not any(script in reading.metrics for script in crashed)
