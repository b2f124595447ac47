import math
import random
from dataclasses import replace
from pathlib import Path
from statistics import fmean, stdev

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from graph.archive import Archive
from graph.complexity import Complexity, complexity
from graph.snapshot import GraphError
from harness.claims import LARGEST, implausible
from harness.reward import reward_of
from harness.values import Decision, Outcome, Scoring, Status, TrialError, Verdict
from harness.verdict import (
    PAIRED_SD_FLOOR,
    SCREEN_Z,
    SD_FLOOR,
    Incumbent,
    Noise,
    incumbent_of,
    judge,
    noise_of,
    screen,
    wanted,
)
from targets.manifest import load_target
from targets.wishes import DEFAULT_WEIGHTS, Weights

MINIMIZE, MAXIMIZE = -1.0, 1.0
NOISE = Noise(mean=2.0, sd=0.1, n=3)
BASE = Incumbent(((0, 2.0), (1, 2.0), (2, 2.0)))
SAME_SIZE = Complexity(0, 0, 0)


def ok(*metrics: float) -> list[Outcome]:
    return [Outcome(Status.OK, metric, seed=seed) for seed, metric in enumerate(metrics)]


def test_the_noise_is_the_sample_deviation_of_the_replicates():
    assert noise_of(ok(1.0, 2.0, 4.0)) == Noise(fmean([1.0, 2.0, 4.0]), stdev([1.0, 2.0, 4.0]), 3)


def test_replicates_that_agree_have_a_floor_of_noise():
    assert noise_of(ok(3.0, 3.0, 3.0)).sd == pytest.approx(SD_FLOOR * 3.0)
    assert noise_of(ok(-3.0, -3.0)).sd == pytest.approx(SD_FLOOR * 3.0)
    assert noise_of(ok(0.0, 0.0)).sd > 0.0


def test_a_baseline_without_a_noise_ends_the_campaign_in_one_line():
    failed = Outcome(Status.FAILED, detail="exit status 1")
    for baseline, said in (
        ([], "0 replicates"),
        (ok(1.0), "1 replicates"),
        ([*ok(1.0), failed], "failed: exit status 1"),
    ):
        with pytest.raises(TrialError, match=said) as caught:
            noise_of(baseline)
        assert "\n" not in str(caught.value)
    with pytest.raises(TrialError, match="no run"):
        incumbent_of([])


def test_the_margin_is_the_student_t_quantile():
    def above(t: float, dof: int) -> float:
        """Integrate the density of Student's t from t on; the substitution u = 1 / x ends the tail."""
        scale = math.exp(math.lgamma((dof + 1) / 2) - math.lgamma(dof / 2)) / math.sqrt(dof * math.pi)
        n = 4000
        points = ((i + 0.5) / (n * t) for i in range(n))
        return sum(scale * (1 + 1 / (u * u * dof)) ** (-(dof + 1) / 2) / (u * u) for u in points) / (n * t)

    for dof in range(1, 31):
        assert above(Noise(0.0, 1.0, dof + 1).margin, dof) == pytest.approx(0.05, abs=2e-4)
    assert Noise(0.0, 1.0, 500).margin == Noise(0.0, 1.0, 31).margin


def test_a_gain_is_positive_when_better_whatever_the_direction():
    assert judge(ok(1.9), BASE, NOISE, sign=MINIMIZE).gain == pytest.approx(0.1)
    assert judge(ok(1.9), BASE, NOISE, sign=MAXIMIZE).gain == pytest.approx(-0.1)


def test_z_is_the_gain_in_standard_errors_of_a_difference_of_means():
    assert judge(ok(1.9), BASE, NOISE, sign=MINIMIZE).z == pytest.approx(1.0 / math.sqrt(2))
    gains = (0.1, 0.3, 0.2)
    runs = ok(*(2.0 - gain for gain in gains))
    assert judge(runs, BASE, NOISE, sign=MINIMIZE).z == pytest.approx(0.2 / (stdev(gains) / math.sqrt(3)))


def test_gains_that_agree_by_chance_prove_no_precision():
    floor = PAIRED_SD_FLOOR * NOISE.sd * math.sqrt(2)
    assert judge(ok(1.9, 1.9, 1.9), BASE, NOISE, sign=MINIMIZE).z == pytest.approx(0.1 / (floor / math.sqrt(3)))


def test_a_trial_is_compared_seed_by_seed():
    incumbent = Incumbent(((0, 1.0), (1, 3.0), (2, 5.0)))
    assert judge(ok(1.0), incumbent, NOISE, sign=MINIMIZE).gain == 0.0
    assert (
        judge(ok(1.0), incumbent, NOISE, sign=MINIMIZE).metric == incumbent.mean
    )  # whatever the luck of its only seed
    assert judge(ok(1.5), incumbent, NOISE, sign=MINIMIZE).metric == incumbent.mean + 0.5
    assert judge(ok(0.9, 2.9, 4.9), incumbent, NOISE, sign=MINIMIZE).gain == pytest.approx(0.1)
    with pytest.raises(TrialError, match="not measured on seed 3"):
        judge([replace(ok(1.0)[0], seed=3)], incumbent, NOISE, sign=MINIMIZE)


def test_the_screen_passes_what_is_half_a_standard_error_better():
    error = NOISE.sd * math.sqrt(2)
    for sign in (MINIMIZE, MAXIMIZE):
        better, worse = 2.0 + sign * 1.01 * SCREEN_Z * error, 2.0 + sign * 0.99 * SCREEN_Z * error
        assert screen(ok(better)[0], BASE, NOISE, sign=sign)
        assert not screen(ok(worse)[0], BASE, NOISE, sign=sign)
    assert not screen(Outcome(Status.TIMEOUT), BASE, NOISE, sign=MINIMIZE)


@pytest.mark.parametrize(
    ("metrics", "decision"),
    [
        ((1.5, 1.5, 1.5), Decision.KEEP),
        ((1.5, 1.5), Decision.KEEP),
        ((1.0,), Decision.NOT_PROVEN),  # however good, a keep needs fresh seeds
        ((1.97, 1.99, 1.98), Decision.NOT_PROVEN),  # inside the noise
        ((0.5, 2.01, 2.01), Decision.NOT_PROVEN),  # all of it is the first seed's luck
        ((2.0, 2.0, 2.0), Decision.DISCARD),
        ((1.9, 2.3, 2.3), Decision.DISCARD),
        ((2.5,), Decision.DISCARD),
    ],
)
def test_a_verdict_is_what_the_seeds_say(metrics, decision):
    verdict = judge(ok(*metrics), BASE, NOISE, sign=MINIMIZE)
    assert verdict.decision is decision
    assert "\n" not in verdict.reason
    mirrored = judge(ok(*(4.0 - metric for metric in metrics)), BASE, NOISE, sign=MAXIMIZE)
    assert mirrored.decision is decision
    assert mirrored.z == pytest.approx(verdict.z)


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.OK])
def test_a_run_that_is_not_ok_is_discarded_without_a_gain(status):
    verdict = judge([*ok(0.1, 0.1), Outcome(status, detail="what happened")], BASE, NOISE, sign=MINIMIZE)
    assert verdict.decision is Decision.DISCARD
    assert math.isnan(verdict.gain)
    assert math.isnan(verdict.z)
    assert verdict.reason == f"{status}: what happened"


def gate(metric: float, second: float = math.nan, seed: int = 99) -> Outcome:
    return Outcome(Status.OK, metric, seed=seed, second=second)


def test_a_verdict_asks_for_more_runs_only_where_they_decide():
    def ask(*outcomes: Outcome) -> list[tuple[int, Scoring]]:
        runs = wanted(outcomes, BASE, NOISE, sign=MINIMIZE, unseen=99)
        return [(run.seed, run.scoring) for run in runs]

    first, others = [(0, Scoring.SEARCH)], [(1, Scoring.GATE), (2, Scoring.GATE)]
    assert ask() == first
    assert ask(*ok(2.1)) == first
    assert ask(Outcome(Status.FAILED)) == first
    assert ask(*ok(1.7)) == ask(*ok(1.7, 1.7)) == ask(*ok(1.7, 1.7, 1.7)) == first + others
    assert ask(*ok(1.7, 1.7, 1.95)) == first + others
    assert ask(*ok(0.1, 0.1, 0.1)) == [*first, *others, (99, Scoring.GATE)]
    assert ask(*ok(0.1, 0.1, 2.5)) == first + others


def test_what_is_too_good_to_be_true_has_to_show_again():
    good = ok(0.5, 0.5, 0.5)
    assert judge([*good, gate(0.9)], BASE, NOISE, sign=MINIMIZE).decision is Decision.KEEP
    doubted = judge([*good, gate(1.9)], BASE, NOISE, sign=MINIMIZE)
    assert doubted.decision is Decision.NOT_PROVEN
    assert "too good to be true" in doubted.reason
    caught = judge([*good, Outcome(Status.INTEGRITY_VIOLATION, seed=99)], BASE, NOISE, sign=MINIMIZE)
    assert caught.decision is Decision.DISCARD


@pytest.mark.parametrize(
    ("second", "decision"), [(1.6, Decision.KEEP), (2.1, Decision.NOT_PROVEN), (math.nan, Decision.KEEP)]
)
def test_a_gain_must_be_there_on_the_second_shard_too(second, decision):
    base = replace(BASE, seconds=((1, 2.05), (2, 2.05)))
    runs = [*ok(1.5), gate(1.5, second, seed=1), gate(1.5, second, seed=2)]
    assert judge(runs, base, NOISE, sign=MINIMIZE).decision is decision


def test_what_a_training_says_of_itself_is_never_kept():
    said = [replace(outcome, tier="self-reported") for outcome in ok(1.5, 1.5, 1.5)]
    verdict = judge(said, BASE, NOISE, sign=MINIMIZE)
    assert verdict.decision is Decision.NOT_PROVEN
    assert "self-reported" in verdict.reason


@pytest.mark.parametrize("sign", [MINIMIZE, MAXIMIZE])
def test_the_largest_metric_that_is_believed_overflows_nothing(sign):
    for metric in (LARGEST, -LARGEST):
        for sd in (0.1, 1e-9):
            verdict = judge(ok(metric, -metric, metric), BASE, Noise(2.0, sd, 3), sign=sign)
            assert math.isfinite(verdict.metric)
            assert math.isfinite(reward_of(verdict, novelty=0.0, complexity=SAME_SIZE).total)
    target = load_target(Path(__file__).parent.parent / "targets" / "toy")
    assert "no statistics go beyond 1e+100" in implausible(target, 1.0, 1.01 * LARGEST)
    assert not implausible(target, LARGEST)


def test_one_cheap_seed_does_not_hide_what_the_others_cost():
    noise = replace(NOISE, cpu_s=1.0)
    runs = [replace(outcome, cpu_s=cost) for outcome, cost in zip(ok(1.5, 1.5, 1.5), (0.9, 9.0, 9.0), strict=True)]
    assert judge(runs, BASE, noise, sign=MINIMIZE).decision is Decision.NOT_PROVEN
    busy = [replace(outcome, cpu_s=cost) for outcome, cost in zip(runs, (0.9, 9.0, 1.1), strict=True)]
    assert judge(busy, BASE, noise, sign=MINIMIZE).decision is Decision.KEEP


@pytest.mark.parametrize(("cpu_s", "decision"), [(2.9, Decision.KEEP), (3.1, Decision.NOT_PROVEN)])
def test_a_gain_is_not_bought_with_work_that_no_budget_counts(cpu_s, decision):
    noise = noise_of(
        [replace(outcome, cpu_s=cost) for outcome, cost in zip(ok(2.0, 1.9, 2.1), (0.8, 1.0, 0.9), strict=True)]
    )
    runs = [replace(outcome, cpu_s=cpu_s) for outcome in ok(1.5, 1.5, 1.5)]
    verdict = judge(runs, BASE, noise, sign=MINIMIZE)
    assert verdict.decision is decision
    assert (f"{cpu_s:.1f} times the CPU time" in verdict.reason) == (decision is Decision.NOT_PROVEN)


@pytest.mark.parametrize(("cpu_s", "decision"), [(0.9, Decision.KEEP), (1.1, Decision.NOT_PROVEN)])
def test_what_a_busy_machine_does_to_a_run_of_milliseconds_decides_nothing(cpu_s, decision):
    noise = noise_of([replace(outcome, cpu_s=0.02) for outcome in ok(2.0, 1.9, 2.1)])
    runs = [replace(outcome, cpu_s=cpu_s) for outcome in ok(1.5, 1.5, 1.5)]
    assert judge(runs, BASE, noise, sign=MINIMIZE).decision is decision


def test_a_stopped_trial_is_never_paid_and_costs_less_than_a_crash():
    stopped = reward_of(FAILED, novelty=1.0, complexity=SAME_SIZE, status=Status.STOPPED)
    assert stopped.terms == (("stopped", DEFAULT_WEIGHTS.stopped), ("complexity", 0.0))
    assert DEFAULT_WEIGHTS.failure < stopped.total <= reward_of(verdict(-9.0), novelty=0.0, complexity=SAME_SIZE).total


def test_the_next_incumbent_is_the_mean_of_all_seeds_of_the_kept_trial():
    assert incumbent_of(ok(1.5, 1.6, 1.7)) == Incumbent(((0, 1.5), (1, 1.6), (2, 1.7)))
    assert incumbent_of(ok(1.5, 1.6, 1.7)).mean == fmean([1.5, 1.6, 1.7])
    assert noise_of(baseline := ok(1.0, 2.0, 3.0)).mean == incumbent_of(baseline).mean


def search(rng: random.Random, effect_sd: float, *, n_trials: int = 1, n: int = 3, shared: float = 0.0) -> int:
    """Run a campaign of edits that are all worth `effect_sd`; return how many were kept. Higher is better here.

    shared: the part of the noise that belongs to the seed, whatever the program.
    """
    of_seed = [rng.gauss(0.0, 1.0) for _ in range(n)]

    def runs_of(effect: float) -> list[Outcome]:
        own = (rng.gauss(effect, math.sqrt(1 - shared)) for _ in range(n))
        return ok(*(math.sqrt(shared) * luck + each for luck, each in zip(of_seed, own, strict=True)))

    baseline = runs_of(0.0)
    noise, incumbent, kept = noise_of(baseline), incumbent_of(baseline), 0
    for _ in range(n_trials):
        runs = runs_of(effect_sd)
        runs = runs if screen(runs[0], incumbent, noise, sign=MAXIMIZE) else runs[:1]
        if judge(runs, incumbent, noise, sign=MAXIMIZE).decision is Decision.KEEP:
            kept, incumbent = kept + 1, incumbent_of(runs)
    return kept


def test_pure_noise_is_rarely_kept():
    rng = random.Random(1)
    for shared in (0.0, 0.8):
        kept = [search(rng, 0.0, n_trials=50, shared=shared) for _ in range(200)]
        assert sum(kept) / (200 * 50) < 0.015
    assert sum(search(rng, 0.0) for _ in range(4000)) / 4000 < 0.055  # a campaign of one trial: the test's own 5 %


def test_without_the_margin_noise_would_be_kept_often():
    rng = random.Random(1)
    runs = [ok(*(rng.gauss(0.0, 1.0) for _ in range(3))) for _ in range(1000)]
    gains = [judge(each, incumbent_of(ok(0.0, 0.0, 0.0)), Noise(0.0, 1.0, 3), sign=MAXIMIZE).gain for each in runs]
    assert sum(gain > 0.0 for gain in gains) / 1000 > 0.4


def test_a_real_effect_is_usually_kept():
    rng = random.Random(2)
    assert sum(search(rng, 3.0) for _ in range(2000)) / 2000 > 0.7
    assert sum(search(rng, 3.0, n=5) for _ in range(2000)) / 2000 > 0.9
    assert sum(search(rng, 5.0) for _ in range(1000)) / 1000 > 0.9


def test_pairing_by_seed_proves_small_effects():
    rng = random.Random(3)
    assert sum(search(rng, 1.5, shared=0.8) for _ in range(1000)) / 1000 > 0.7
    assert sum(search(rng, 1.5, shared=0.0) for _ in range(1000)) / 1000 < 0.45


def verdict(z: float) -> Verdict:
    return Verdict(Decision.NOT_PROVEN, 2.0 - z * 0.1, z * 0.1, z, "")


FAILED = Verdict(Decision.DISCARD, math.nan, math.nan, math.nan, "timeout")
sizes = st.builds(Complexity, *(st.integers(-1000, 1000) for _ in range(3)))
ranks = st.integers(0, 300).map(lambda n: n / 300)
zs = st.floats(-1e9, 1e9).filter(lambda z: abs(z) > 1e-9)


@given(zs, ranks, sizes)
def test_a_reward_is_the_sum_of_three_named_finite_terms(z, rank, size):
    reward = reward_of(verdict(z), novelty=rank, complexity=size)
    assert [name for name, _ in reward.terms] == ["metric", "novelty", "complexity"]
    assert reward.total == math.fsum(value for _, value in reward.terms)
    assert math.isfinite(reward.total)


@given(zs, ranks, sizes)
def test_no_run_that_was_measured_is_worth_less_than_a_failure(z, rank, size):
    failed = reward_of(FAILED, novelty=1.0, complexity=SAME_SIZE)
    assert failed.terms == (("failure", DEFAULT_WEIGHTS.failure),)
    assert reward_of(verdict(z), novelty=rank, complexity=size).total >= failed.total


@given(zs, zs, ranks, sizes)
def test_worse_is_less(z, worse, rank, size):
    assume(worse < z)
    rewards = [reward_of(verdict(each), novelty=rank, complexity=size).total for each in (worse, z)]
    assert rewards[0] <= rewards[1]
    if worse > -20 and z - worse > 0.01 * (1 + abs(z)):  # below, a loss is as bad as a loss can be
        assert rewards[0] < rewards[1]


def test_an_edit_that_changes_nothing_measured_pays_no_more_than_a_loss():
    idle = reward_of(verdict(0.0), novelty=1.0, complexity=SAME_SIZE)
    assert idle.terms == (("equivalent", DEFAULT_WEIGHTS.equivalent), ("complexity", 0.0))
    assert idle.total < reward_of(verdict(-1.0), novelty=0.0, complexity=SAME_SIZE).total
    assert idle.total > DEFAULT_WEIGHTS.failure


@given(zs, ranks, ranks, sizes)
def test_less_novel_is_less(z, rank, nearer, size):
    assume(nearer < rank)
    rewards = [dict(reward_of(verdict(z), novelty=each, complexity=size).terms)["novelty"] for each in (nearer, rank)]
    assert 0.0 <= rewards[0] < rewards[1] <= DEFAULT_WEIGHTS.novelty


@pytest.mark.parametrize("field", ["cyclomatic", "cognitive", "nodes"])
def test_more_complex_is_less_and_simpler_is_not_more_than_nothing(field):
    terms = [
        dict(reward_of(verdict(0.1), novelty=0.0, complexity=replace(SAME_SIZE, **{field: more})).terms)["complexity"]
        for more in (-10, 0, 1, 5)
    ]
    assert terms[0] == terms[1] == 0.0
    assert terms[1] > terms[2] > terms[3] >= 5 * DEFAULT_WEIGHTS.complexity


def test_a_gain_of_one_standard_error_outweighs_novelty():
    plain = reward_of(verdict(1.0), novelty=0.0, complexity=SAME_SIZE).total
    assert plain > reward_of(verdict(0.5), novelty=1.0, complexity=SAME_SIZE).total


@pytest.mark.parametrize(
    ("weights", "novelty", "term"),
    [
        (Weights(novelty=2.0), 0.5, ("novelty", 1.0)),
        (Weights(complexity=-0.2), 0.5, ("complexity", -0.4)),
        (Weights(complexity=0.0), 0.5, ("complexity", 0.0)),
    ],
)
def test_a_weight_is_that_of_its_term_alone(weights, novelty, term):
    size = Complexity(2, 2, 0)
    usual = dict(reward_of(verdict(0.5), novelty=novelty, complexity=size).terms)
    weighed = dict(reward_of(verdict(0.5), novelty=novelty, complexity=size, weights=weights).terms)
    assert weighed == {**usual, term[0]: pytest.approx(term[1])}
    assert weighed != usual


def test_what_never_got_a_metric_is_paid_what_its_weight_says():
    weights = Weights(equivalent=-1.5, stopped=-2.0, failure=-3.5)
    given = {"novelty": 1.0, "complexity": SAME_SIZE, "weights": weights}
    assert reward_of(FAILED, **given).terms == (("failure", -3.5),)
    assert reward_of(FAILED, **given, status=Status.STOPPED).total == -2.0
    assert reward_of(verdict(0.0), **given).total == -1.5


prices = st.floats(-4.0, 0.0)
any_weights = st.builds(
    Weights, novelty=st.floats(0.0, 2.0), complexity=prices, equivalent=prices, stopped=prices, failure=prices
)


@st.composite
def accepted(draw: st.DrawFn) -> Weights:
    """Draw weights down to the last that are accepted, and often those."""
    below = st.just(0.0) | st.floats(0.0, 2.0)
    equivalent = draw(prices)
    stopped = min(-1.0, equivalent) - draw(below)
    failure = stopped - 1.0 - draw(below)
    novelty, complexity = draw(st.floats(0.0, 2.0)), draw(prices)
    return Weights(novelty=novelty, complexity=complexity, equivalent=equivalent, stopped=stopped, failure=failure)


@given(accepted(), zs | st.just(0.0), ranks, sizes)
def test_no_weights_that_are_accepted_pay_a_stop_more_than_an_end_or_a_crash_more_than_either(weights, z, rank, size):
    assert not [*weights.faults()]
    stopped = reward_of(FAILED, novelty=rank, complexity=size, status=Status.STOPPED, weights=weights).total
    crashed = reward_of(FAILED, novelty=rank, complexity=size, weights=weights).total
    ended = reward_of(verdict(z), novelty=rank, complexity=size, weights=weights).total
    assert crashed <= stopped + 1e-12
    assert stopped <= ended + 1e-12


@given(any_weights)
def test_weights_are_refused_only_where_a_policy_could_gain_by_it(weights):
    assume([*weights.faults()])
    huge = Complexity(10**9, 10**9, 10**9)
    worst = [verdict(-1e9), verdict(0.0)]
    ended = min(reward_of(each, novelty=0.0, complexity=SAME_SIZE, weights=weights).total for each in worst)
    felt = weights.complexity if weights.complexity < -1e-6 else -1.0  # a smaller weight is never felt
    grown = Weights(**{**weights.model_dump(), "complexity": felt})
    stopped = reward_of(FAILED, novelty=0.0, complexity=huge, status=Status.STOPPED, weights=grown).total
    assert weights.stopped > ended or weights.failure > stopped


def test_the_usual_weights_are_accepted():
    assert not [*DEFAULT_WEIGHTS.faults()]


TARGET = {path.name: path.read_bytes() for path in (Path(__file__).parent.parent / "targets/bytelm").glob("*.py")}


def with_line(line: str) -> dict[str, bytes]:
    return {**TARGET, "train.py": TARGET["train.py"] + f"\n{line}\n".encode()}


NEAR = with_line("x = 1 + 2")
FAR = with_line("for i in range(3):\n    while i:\n        import scipy.signal\n        scipy.signal.firwin(i)")
BETWEEN = with_line("print(len('a'))")


def archive(*programs: dict[str, bytes]) -> Archive:
    known = Archive()
    for program in (TARGET, *programs):
        known.add(program)
    return known


def test_a_known_program_is_not_novel():
    known = archive(NEAR, FAR)
    for program in (TARGET, NEAR, FAR):
        assert known.novelty(program) == 0.0
    renamed = {**TARGET, "train.py": b"# a remark\n" + TARGET["train.py"]}
    assert known.novelty(renamed) == 0.0


def test_nearer_is_less_novel():
    known = archive(
        *(with_line(f"y = {'+'.join(['z'] * n)}") for n in range(2, 12)), with_line("f()"), with_line("for i in j: i()")
    )
    near, between, far = (known.novelty(program) for program in (NEAR, BETWEEN, FAR))
    assert 0.0 < near < between < far <= 1.0


def test_novelty_is_a_rank_whatever_the_scale_of_distances():
    known = archive(*(with_line(f"y = {'+'.join(['z'] * n)}") for n in range(2, 12)))
    huge = with_line("\n".join(f"for i{n} in range({n}): f{n}(np.g{n}(i{n}))" for n in range(200)))
    assert known.novelty(huge) == 1.0


def test_what_becomes_known_is_less_novel_after_it():
    known = archive(NEAR)
    before = known.novelty(FAR)
    known.add(FAR)
    similar = with_line(
        "for i in range(3):\n    while i:\n        import scipy.signal\n        scipy.signal.firwin2(i)"
    )
    assert known.novelty(similar) <= before


def test_the_order_of_files_and_of_hashes_does_not_matter():
    first, second = archive(NEAR, BETWEEN), archive(dict(reversed(NEAR.items())), BETWEEN)
    assert first.novelty(FAR) == second.novelty(dict(reversed(FAR.items())))


def test_a_program_that_does_not_parse_has_no_novelty():
    with pytest.raises(GraphError, match=r"train\.py: does not parse"):
        archive().novelty(with_line("def f(:"))


def test_an_edit_of_a_shipped_target_is_rewarded_for_what_it_is():
    delta = complexity(FAR) - complexity(TARGET)
    assert delta.cyclomatic == 2
    reward = reward_of(verdict(0.1), novelty=archive().novelty(FAR), complexity=delta)
    assert -0.5 < dict(reward.terms)["complexity"] < -0.1
