"""Rules that read curves: what each stops, what none may stop, and that they depend on nothing else."""

from __future__ import annotations

import math
import sys
from random import Random
from statistics import fmean
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.stopping import DATA, Policy, read_runs, simulate
from harness.evidence import AUDIT_SHARE, Evidence
from harness.meter import N_MARKS, WARM_UP
from harness.stopping import MIN_FINISHED, Rule, behind_median, behind_rung, make_rule, margins
from harness.values import Outcome, Status, TrialError
from harness.verdict import Noise, cost_of, most_cost
from targets.manifest import Limits

BASELINE = tuple(tuple(4.0 - 0.1 * at + jitter for at in range(N_MARKS)) for jitter in (0.0, 0.02, -0.02))
INCUMBENT = BASELINE[0]
GAP = margins(Evidence(BASELINE, (), INCUMBENT, 0, 1))[10]
FINISHED = tuple(
    tuple(mark + 0.1 * n for mark in INCUMBENT) for n in range(1, 8)
)  # the median is 0.4 above the incumbent
PRUNERS = (
    "MedianPruner",
    "PercentilePruner(25.0)",
    "SuccessiveHalvingPruner",
    "HyperbandPruner",
    "ThresholdPruner(upper=3.0)",
)


def shifted(by: float) -> tuple[float, ...]:
    return tuple(mark + by for mark in INCUMBENT)


def verdict(
    curve: tuple[float, ...], name: str = "median", cpu_s: float = 0.0, costliest_s: float = math.inf, **changed: Any
) -> str:
    known: dict[str, Any] = {"baseline": BASELINE, "finished": FINISHED, "incumbent": INCUMBENT, "seed": 0, "number": 1}
    rule = make_rule(name, Evidence(**{**known, **changed}, cpu_s=costliest_s))
    assert rule is not None
    return rule.verdict(curve, cpu_s)


def cost(*outcomes: Outcome) -> float:
    """Against an unedited target that takes 2 s."""
    return cost_of(outcomes, [Outcome(Status.OK, 1.0, cpu_s=seconds) for seconds in (1.5, 2.0)])


def test_a_run_that_was_ended_cost_what_its_rate_says():
    half = (4.0,) * (N_MARKS // 2)
    assert cost(Outcome(Status.STOPPED, cpu_s=5.0, curve=half)) == 5.0
    assert cost(Outcome(Status.TIMEOUT, cpu_s=5.0, curve=half)) == 5.0
    assert cost(Outcome(Status.OK, 1.0, cpu_s=5.0, curve=half)) == 2.5  # it said little of what it did, and is over
    assert cost(Outcome(Status.STOPPED, cpu_s=5.0, curve=half[: WARM_UP - 1])) == 2.5  # too early for a rate
    assert cost(*(Outcome(Status.OK, 1.0, cpu_s=seconds) for seconds in (9.0, 2.0, 3.0))) == 1.5


def test_what_did_not_run_has_no_cost():
    assert math.isnan(cost(Outcome(Status.FAILED, cpu_s=3.0)))
    assert math.isnan(cost(Outcome(Status.DUPLICATE)))
    assert math.isnan(cost_of([Outcome(Status.OK, 1.0, cpu_s=5.0)], [Outcome(Status.OK, 1.0)]))


def test_what_a_program_may_cost_is_what_the_verdict_and_the_manifest_let_it_take():
    limits = Limits(wall_s=60.0, cpu_s=20.0)
    assert most_cost(Noise(1.0, 0.1, 3, 4.0), limits) == 3.0
    assert most_cost(Noise(1.0, 0.1, 3, 10.0), limits) == 2.0
    assert most_cost(Noise(1.0, 0.1, 3, 0.1), limits) == 10.0  # a run of milliseconds has a second
    assert most_cost(Noise(1.0, 0.1, 3), limits) == math.inf


# --- what has failed


@pytest.mark.parametrize("name", ["median", "asha"])
def test_a_hint_that_is_not_finite_ends_a_run_at_once(name):
    assert verdict((4.0, math.inf), name) == "hint is not finite at 10 % of the budget"


def test_a_run_that_becomes_half_again_as_bad_as_it_started_has_failed():
    assert "worse than 6, half again its start" in verdict((4.0, 5.0, 6.0, 6.1), finished=())
    assert not verdict((4.0, 5.0, 6.0, 5.9), finished=())


def test_a_run_that_will_cost_more_than_a_kept_one_may_is_stopped_however_good_it_is():
    assert "beyond 6 s nothing is kept" in verdict(shifted(-1.0)[:WARM_UP], cpu_s=10.0, costliest_s=2.0)
    assert not verdict(shifted(-1.0)[:WARM_UP], cpu_s=8.0, costliest_s=2.0)
    assert not verdict(shifted(-1.0)[: WARM_UP - 1], cpu_s=10.0, costliest_s=2.0)
    assert not verdict(shifted(-1.0)[:WARM_UP], cpu_s=10.0)
    assert not verdict(shifted(-1.0)[:WARM_UP], cpu_s=4.0, costliest_s=0.03)


def test_a_run_that_starts_badly_has_a_fifth_of_its_budget_to_recover():
    assert not verdict((4.0, 9.0, 9.0))
    assert not verdict((0.1, 9.0, 9.0, INCUMBENT[3]))


def test_marks_without_a_hint_stop_nothing():
    assert not verdict(())
    assert not verdict((math.nan,) * 15)
    assert not verdict((*shifted(9.0)[:10], math.nan))


# --- the median at equal progress


def test_a_run_behind_the_median_is_stopped_and_one_before_it_is_not():
    assert "behind 3.5, the median of 7 runs" in verdict(shifted(0.5)[:10])
    assert not verdict(shifted(0.39)[:10])


def test_nothing_is_compared_in_the_warm_up_or_with_few_runs():
    assert not verdict(shifted(0.9)[: WARM_UP - 1])
    assert verdict(shifted(0.9)[:WARM_UP])
    assert not verdict(shifted(0.9)[:10], finished=FINISHED[: MIN_FINISHED - 1])


def test_a_run_near_the_incumbent_is_spared_however_many_were_better():
    ahead = tuple(shifted(-0.5) for _ in range(9))
    assert not verdict(shifted(0.9 * GAP)[:10], finished=ahead)
    assert "median" in verdict(shifted(1.1 * GAP)[:10], finished=ahead)
    assert 0.01 < GAP < 0.1


def test_without_a_curve_of_the_incumbent_nothing_is_compared():
    assert not verdict(shifted(0.9)[:10], incumbent=())
    assert "not finite" in verdict((4.0, math.inf), incumbent=())


def test_curves_of_stopped_runs_are_no_part_of_the_median():
    stopped = tuple(shifted(0.05)[:12] for _ in range(20))
    assert not verdict(shifted(0.39)[:10], finished=FINISHED + stopped)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=N_MARKS),
    st.lists(
        st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=N_MARKS - 1, max_size=N_MARKS),
        max_size=9,
    ),
)
def test_any_curves_get_a_verdict_and_the_same_one_twice(curve, finished):
    for name in ("median", "asha"):
        first, again = (verdict(tuple(curve), name, finished=finished, baseline=finished) for _ in range(2))
        assert first == again


# --- successive halving


def test_only_the_best_third_passes_a_rung():
    evidence = Evidence(BASELINE, FINISHED, INCUMBENT, 0, 1)
    assert not behind_rung(shifted(0.11)[:6], evidence)
    assert "not in the best third of 8" in behind_rung(shifted(0.35)[:6], evidence)
    assert not behind_rung(shifted(0.35)[:7], evidence)  # no rung
    assert behind_rung(shifted(0.35)[:6], Evidence(BASELINE, tuple(c[:6] for c in FINISHED), INCUMBENT, 0, 1))


# --- audits


def test_a_tenth_of_the_trials_is_audited_and_which_depends_on_seed_and_number_alone():
    drawn = [[Evidence((), (), (), seed, number).audited for number in range(1, 1001)] for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert abs(sum(drawn[0]) / 1000 - AUDIT_SHARE) < 0.03


# --- names


def test_none_is_no_rule_and_an_unknown_name_is_an_error():
    known: dict[str, Any] = {"baseline": (), "finished": (), "incumbent": (), "seed": 0, "number": 1}
    assert make_rule("none", Evidence(**known)) is None
    with pytest.raises(
        TrialError, match="stopping rule 'mean': is not known; write one of none, median, asha, optuna:PRUNER"
    ):
        make_rule("mean", Evidence(**known))


# --- real trainings


def test_the_default_rule_saves_a_fifth_of_recorded_trainings_and_loses_none_of_the_best():
    baseline, runs = read_runs(DATA)
    orders = [Random(f"0/{n}").sample(runs, 60) for n in range(12)]
    rule, without_grace = Policy("median", behind_median), Policy("no grace", behind_median, -1.0)
    costs = [simulate(rule, baseline[:3], order, climbs=False) for order in orders]
    harsher = [simulate(without_grace, baseline[:3], order, climbs=False) for order in orders]
    assert fmean(cost.compute for cost in costs) < 0.8
    assert not any(cost.is_best_stopped or cost.regret for cost in costs)
    assert 5 * sum(cost.n_false for cost in costs) < sum(cost.n_false for cost in harsher)


def test_the_program_that_compares_rules_stops_where_the_rule_does():
    baseline, runs = read_runs(DATA)
    replicates, finished = tuple(run.curve for run in baseline), tuple(run.curve for run in runs[:40])
    evidence = Evidence(replicates, finished, baseline[0].curve, 0, 1)
    room = margins(evidence)
    spared = tuple(mark + each for mark, each in zip(baseline[0].curve, room, strict=True))
    rule = Rule(evidence, behind_median)
    for run in runs[40:]:
        stops = [n for n in range(1, N_MARKS) if rule.verdict(run.curve[:n])]
        assert Policy("median", behind_median).stop(run.curve, evidence, spared) == (stops[0] if stops else N_MARKS)


# --- Optuna


@pytest.mark.parametrize("pruner", PRUNERS)
def test_pruners_of_optuna_stop_what_is_far_behind_and_never_what_is_near_the_incumbent(pruner):
    pytest.importorskip("optuna")
    known: dict[str, Any] = {"baseline": BASELINE, "finished": FINISHED * 2, "incumbent": INCUMBENT, "seed": 0}
    behind, near = (make_rule(f"optuna:{pruner}", Evidence(**known, number=number)) for number in (1, 2))
    assert behind is not None
    assert near is not None
    said = [behind.verdict(shifted(5.0)[:n]) for n in range(1, N_MARKS)]
    assert any(said), pruner
    assert all(pruner in each for each in said if each and "half again" not in each)
    assert not any(near.verdict(shifted(0.5 * GAP)[:n]) for n in range(1, N_MARKS))


@pytest.mark.parametrize("pruner", PRUNERS[1:4])
def test_a_pruner_says_the_same_when_it_follows_a_run_and_when_it_is_asked_once(pruner):
    pytest.importorskip("optuna")
    rule = make_rule(f"optuna:{pruner}", Evidence(BASELINE, FINISHED, INCUMBENT, seed=0, number=1))
    assert rule is not None
    followed = [rule.verdict(shifted(0.45)[:n]) for n in range(1, N_MARKS)]
    assert [followed[n - 1] for n in (6, 18)] == [verdict(shifted(0.45)[:n], f"optuna:{pruner}") for n in (6, 18)]


@pytest.mark.parametrize(
    "text", ["NoSuchPruner", "MedianPruner(1, 2, 3, 4, 5, 6)", "PercentilePruner", "os.system('true')", "(", "3"]
)
def test_what_is_no_pruner_is_one_clear_line(text):
    pytest.importorskip("optuna")
    with pytest.raises(TrialError, match="is no pruner of Optuna"):
        verdict((), f"optuna:{text}")


def test_without_optuna_one_line_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(TrialError, match=r"^optuna: is not installed; pip install 'codegraft\[optuna\]'$"):
        verdict((), "optuna:MedianPruner")
