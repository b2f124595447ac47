"""The process over the effects of edits, on its own, and what a campaign's trials teach it."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from mutator.edit import Edit
from policy.catalogue import Catalogue
from policy.costs import log_chance
from policy.effects import Effects, Experience, bend, log_expected_improvement, read_gain
from policy.gp import GpPolicy
from policy.insight import Insight
from policy.kernel import Kernel
from policy.options import open_options
from policy.prior import fit_prior
from policy.protocol import Move, PolicyError, Scene
from policy.scripts import lengthen
from policy.testing import Program, Result
from policy.traits import Traits, describe
from tests.test_policy_searches import root

RATES = tuple(Edit("scale-literal", "train:/literal.value", (("by", factor),)) for factor in (0.25, 0.5, 2.0, 4.0))


def traits(*edits: Edit) -> Traits:
    return describe(root().graph, edits)


def fitted(*told: tuple[tuple[Edit, ...], float], n_runs: float = 1.0) -> Effects:
    experience = Experience()
    for script, gain in told:
        experience.add(traits(*script), *read_gain(gain, (1 / n_runs, 1 / n_runs)))
    return experience.fit(Kernel())


def kinds(kind: str) -> list[Edit]:
    return [edit for edit in root().edits if edit.kind == kind]


def test_before_the_first_trial_an_edit_is_worth_what_its_kind_of_site_says():
    belief = fitted().believe(traits(*RATES, *kinds("flip-flag")))
    assert belief.mean.argmax() in (1, 2)  # a small step of a number hurts least
    assert np.allclose(belief.deviation**2, Kernel().vary(traits(*RATES, *kinds("flip-flag"))))


def test_variances_are_the_diagonal_of_the_covariances():
    every = traits(*root().edits)
    assert np.allclose(np.diag(Kernel().covary(every, every)), Kernel().vary(every))
    assert np.linalg.eigvalsh(Kernel().covary(every, every)).min() > -1e-9


def test_it_expects_what_was_seen_and_is_surer_of_it():
    tried, other = RATES[2:3], kinds("swap-activation")[:1]
    before, after = fitted(), fitted(*[(tried, 3.0)] * 5)
    assert after.believe(traits(*tried)).mean[0] > 1.0 > before.believe(traits(*tried)).mean[0]
    assert after.believe(traits(*tried)).deviation[0] < before.believe(traits(*tried)).deviation[0]
    assert after.believe(traits(*other)).deviation[0] > after.believe(traits(*tried)).deviation[0]


def test_a_loss_in_one_direction_speaks_for_the_other():
    low, high = fitted((RATES[3:], -6.0)).believe(traits(RATES[0], RATES[3])).mean
    assert low > high


def test_what_several_edits_gain_together_is_shared_among_them():
    pair = (RATES[1], kinds("flip-flag")[0])
    both = fitted((pair, 5.0)).believe(traits(*pair)).mean
    assert (both > fitted().believe(traits(*pair)).mean).all()
    known = fitted((pair, 5.0), *[(pair[:1], 5.0)] * 4).believe(traits(*pair)).mean
    assert known[0] > both[0]
    assert known[1] < both[1]  # the first one explains what both gained


def test_how_bad_a_failure_was_cannot_matter_and_one_large_gain_does_not_drown_the_others():
    belief = fitted((RATES[:1], math.nan), (RATES[2:3], 3.0), (tuple(kinds("flip-flag")[:1]), 400.0)).believe(
        traits(*RATES)
    )
    assert np.isfinite(belief.mean).all()
    assert belief.mean[2] > belief.mean[0]


def test_what_ran_more_often_is_believed_more():
    once, often = (fitted((RATES[2:3], 3.0), n_runs=n).believe(traits(RATES[2])).mean[0] for n in (0.5, 50.0))
    assert often > once


@pytest.mark.parametrize(("mean", "deviation"), [(0.5, 0.3), (-1.0, 0.4), (-2.0, 0.4), (3.0, 0.1), (-3.2, 0.4)])
def test_log_expected_improvement_is_the_integral(mean: float, deviation: float):
    x = np.linspace(0.0, max(mean, 0.0) + 12 * deviation, 400_001)
    density = np.exp(-(((x - mean) / deviation) ** 2) / 2) / (deviation * math.sqrt(2 * math.pi))
    found = log_expected_improvement(np.array([mean]), np.array([deviation]))[0]
    assert found == pytest.approx(math.log(np.trapezoid(x * density, x)), abs=0.01)


def test_improvement_falls_all_the_way_down():
    z = np.linspace(-29.0, 5.0, 2000)
    assert (np.diff(log_expected_improvement(z, np.ones_like(z))) > 0).all()


def test_a_lead_that_was_confirmed_counts_for_more_than_one_run():
    gains = []
    for kept in (True, False):
        insight, made = learned(Result(1, RATES[:1], 1.0, 0, 4.0, kept=kept)), Program(1, RATES[:1], root().graph, ())
        gains.append(insight.rank([made])[1][0])
    assert gains[0] > gains[1] + 0.2


def test_a_gain_beyond_all_measure_counts_as_a_very_large_one():
    for gain in (1e160, 1e300):
        up, down = read_gain(gain, (1.0, 1.0)), read_gain(-gain, (1.0, 1.0))
        assert all(map(math.isfinite, (up[0], down[0], *up[1], *down[1])))
        assert up[0] > 10 > -2 > down[0]


def test_an_edit_of_what_was_edited_is_open_on_each_program_that_has_it():
    """Twice the same edit of a number makes another program than once, and so does another order of two edits of it."""
    doubled, halved, flag = RATES[2], RATES[1], kinds("flip-flag")[0]
    insight = Insight(Kernel())
    once, twice = (Program(n, (doubled,) * n, root().graph, root().edits) for n in (1, 2))
    insight.see(Scene(root(), (root(), once, twice), 1, 100))
    for trial in (
        Result(1, (doubled,), 1.0, 0, 1.0),
        Result(2, (doubled,), 1.0, 1, 1.0),
        Result(3, (flag,), 1.0, 1, 1.0),
    ):
        insight.learn(trial)
    assert flag not in insight.new_edits(once)
    assert flag in insight.new_edits(twice)
    assert not insight.is_new(once, (doubled,))
    assert insight.is_new(twice, (doubled,))
    insight.learn(Result(4, (halved,), 1.0, 1, 1.0))
    assert insight.is_new(root(), (halved, doubled))
    assert not insight.is_new(root(), (doubled, halved))
    assert not insight.is_new(root(), (flag, doubled))


def test_a_trial_of_no_scene_is_refused():
    with pytest.raises(PolicyError, match="trial 4: was not proposed since the last feedback; propose first"):
        Insight(Kernel()).learn(Result(4, RATES[:1], 1.0))


def test_programs_are_ranked_by_what_all_trials_say_of_their_edits():
    insight, flag = Insight(Kernel()), kinds("flip-flag")[0]
    insight.see(Scene(root(), (root(),), 1, 100))
    lucky, steady = Result(1, RATES[:1], 1.0, 0, 2.0), Result(2, (flag,), 1.0, 0, 1.5)
    again = [Result(3 + n, RATES[:1], -1.0, 0, -4.0) for n in range(3)] + [
        Result(6 + n, (flag,), 1.0, 0, 1.5) for n in range(3)
    ]
    for trial in (lucky, steady, *again):
        insight.learn(trial)
    programs = [root(), *(Program(trial.number, trial.script, root().graph, ()) for trial in (lucky, steady))]
    ranked, gains = insight.rank(programs)
    assert ranked[0].number == 2
    assert gains[[program.number for program in ranked].index(0)] == 0.0


def test_what_edits_do_together_stays_with_their_program_as_far_as_it_is_no_noise():
    flag, worth = kinds("flip-flag")[0], []
    for lead in (0.0, 6.0):
        alone = [Result(1, RATES[:1], 1.0, 0, 2.0), Result(2, (flag,), 1.0, 0, 2.0)]
        insight = learned(*alone, Result(3, (RATES[0], flag), 1.0, 0, lead))
        programs = [Program(n, (), root().graph, ()) for n in (1, 2, 3)]
        ranked, gains = insight.rank([root(), *programs])
        worth.append(dict(zip([program.number for program in ranked], gains, strict=True)))
    apart, together = worth
    assert together[3] > together[1] + together[2]
    assert apart[3] < apart[1] + apart[2]
    assert together[3] < bend(6.0)


def test_what_is_kept_of_comparisons_changes_no_belief():
    catalogue, experience, edits = Catalogue(root().graph, None), Experience(), list(root().edits)
    for number, edit in enumerate(edits[:8]):
        experience.add(traits(edit), *read_gain((-1.0) ** number * number, (1.0, 1.0)))
        experience.add(traits(edit, edits[8]), *read_gain(0.5 * number, (1.0, 1.0)))
        effects = experience.fit(Kernel())
        asked = edits[: 4 + 2 * number]  # grows, as edits of a program are asked for
        mean, deviation = catalogue.believe(effects, asked)
        anew = fitted(*_told(edits[: number + 1], edits[8])).believe(traits(*asked))
        assert np.allclose(mean, anew.mean)
        assert np.allclose(deviation, anew.deviation)


def test_another_kernel_does_not_find_the_comparisons_of_the_one_before():
    experience = Experience()
    experience.add(traits(RATES[0]), 1.0, (1.0, 1.0))
    wide, narrow = (experience.fit(kernel).believe(traits(RATES[1])).mean[0] for kernel in (Kernel(), _NARROW))
    assert narrow == pytest.approx(fitted_with(_NARROW).believe(traits(RATES[1])).mean[0])
    assert abs(wide - narrow) > 1e-3


_NARROW = Kernel().shrink(0.1)


def fitted_with(kernel: Kernel) -> Effects:
    experience = Experience()
    experience.add(traits(RATES[0]), 1.0, (1.0, 1.0))
    return experience.fit(kernel)


def _told(edits: list[Edit], beside: Edit) -> list[tuple[tuple[Edit, ...], float]]:
    alone_and_beside = ((((edit,), (-1.0) ** n * n), ((edit, beside), 0.5 * n)) for n, edit in enumerate(edits))
    return [each for pair in alone_and_beside for each in pair]


def test_a_gain_far_from_the_unedited_target_says_less_than_one_beside_it():
    believed = []
    for lead in (2.0, 20.0):
        insight, flag = Insight(Kernel()), kinds("flip-flag")[0]
        insight.see(Scene(root(), (root(),), 1, 100))
        insight.learn(Result(1, RATES[:1], 1.0, 0, lead, kept=True))
        made = Program(1, RATES[:1], root().graph, root().edits)
        insight.see(Scene(made, (root(), made), 2, 100, 1))
        others = [edit for edit in root().edits if edit.kind != flag.kind][:12]
        for number, edit in enumerate(others, 2):  # runs scatter as they do there
            insight.learn(Result(number, (edit,), -1.0, 1, lead + (-1.0) ** number * (0.4 if lead < 9 else 5.0)))
        insight.learn(Result(2 + len(others), (flag,), -1.0, 1, lead + 3.0))
        believed.append(insight.believe(root(), [flag])[0][0])
    assert believed[0] > believed[1] + 0.3


def test_what_a_program_was_measured_to_lead_by_outweighs_a_sum_of_effects_that_says_otherwise():
    insight, flag, swap = Insight(Kernel()), kinds("flip-flag")[0], kinds("swap-activation")[0]
    programs = [root()]

    def learn(edit: Edit, parent: int, lead: float, *, kept: bool = False) -> None:
        number, script = len(programs), (*programs[parent].script, edit)
        insight.see(Scene(programs[0], tuple(programs), number, 100, number - 1))
        insight.learn(Result(number, (edit,), 1.0, parent, lead, kept=kept))
        programs.append(Program(number, script, root().graph, root().edits))

    learn(RATES[2], 0, 6.0, kept=True)
    learn(flag, 1, 9.0)
    learn(swap, 2, 12.0, kept=True)
    for edit in (flag, swap, *kinds("flip-flag")[1:4], *kinds("swap-activation")[1:4]):
        learn(edit, 0, -9.0)  # alone, each of their kind is ruin
    for edit in RATES:
        learn(edit, 3, 12.0)  # on both, nothing is lost of what they do together
    ranked, _ = insight.rank(programs)
    assert ranked[0].number == 3 or ranked[0].script[:3] == programs[3].script


def test_whether_noise_grows_with_the_distance_is_read_from_the_trials():
    deviations = []
    for truth in (0.1, 25.0):  # two variances that are thought possible
        draws, experience, edits = np.random.default_rng(0), Experience(), root().edits
        for number in range(60):
            experience.add(traits(edits[number % 5]), draws.normal(0.0, math.sqrt(truth)), (0.1, 25.0))
        deviations.append(experience.fit(Kernel()).believe(traits(edits[0])).deviation[0])
    assert deviations[1] > 4 * deviations[0]


def test_what_its_children_measure_tells_of_a_program_that_was_lucky():
    """Runs of a program disturb the gains of all that is made of it, and all at once."""
    worth = []
    for lead in (6.0, 1.0):
        insight, edits = Insight(Kernel()), [edit for edit in root().edits if edit.kind != RATES[0].kind]
        insight.see(Scene(root(), (root(),), 1, 100))
        insight.learn(Result(1, RATES[2:3], 1.0, 0, 6.0))
        made = Program(1, RATES[2:3], root().graph, root().edits)
        insight.see(Scene(root(), (root(), made), 2, 100, 1))
        for number, edit in enumerate(edits[:12], 2):
            insight.learn(Result(number, (edit,), 1.0, 1, lead))
        worth.append(insight.rank([made])[1][0])
    assert worth[0] > worth[1] + 1.0


def test_what_is_under_way_is_awaited_as_if_it_measured_what_is_expected():
    flag, rate = kinds("flip-flag")[0], RATES[2]
    every = traits(*root().edits)
    for effects in (fitted(), fitted(((rate,), 3.0), ((flag, rate), -1.0))):
        before, after = effects.believe(every), effects.awaiting(traits(flag, RATES[1])).believe(every)
        assert np.allclose(after.mean, before.mean)
        assert (after.deviation <= before.deviation + 1e-9).all()
        row = list(root().edits).index(flag)
        assert after.deviation[row] < 0.9 * before.deviation[row]


def test_to_await_is_to_have_measured_what_was_expected(monkeypatch):
    monkeypatch.setattr("policy.effects._SCALES", (1.0,))  # an expectation does not decide which is likeliest
    monkeypatch.setattr("policy.effects._NOISES", (1.0,))
    told, flag, rate = (((RATES[2],), 2.0),), kinds("flip-flag")[0], RATES[1]
    every, script = traits(*root().edits), traits(flag, rate)
    effects = fitted(*told)
    awaited = effects.awaiting(script)
    again = Experience()
    again.add(traits(RATES[2]), *read_gain(2.0, (1.0, 1.0)))
    again.add(script, float(effects.believe(script).mean.sum()), (1.0, 1.0))
    measured = again.fit(Kernel())
    assert np.allclose(measured.believe(every).mean, awaited.believe(every).mean)
    assert np.allclose(measured.believe(every).deviation, awaited.believe(every).deviation)
    assert np.allclose(awaited.awaiting(script).believe(every).mean, effects.believe(every).mean)


def test_what_is_under_way_makes_surer_of_its_like_on_any_program():
    insight, flag = learned(Result(1, RATES[:1], -1.0, 0, 0.2)), kinds("flip-flag")[0]
    made = Program(1, RATES[:1], root().graph, root().edits)
    scene = Scene(root(), (root(), made), 2, 100, 1)
    insight.see(scene)
    before = insight.believe(made, [flag])[1][0]
    insight.propose(scene, [Move(0, (flag,))])
    insight.see(replace(scene, number=3))
    assert insight.believe(made, [flag])[1][0] < 0.9 * before


def test_an_edit_is_not_proposed_on_another_program_while_it_is_under_way():
    policy = GpPolicy(0)
    first = Result(1, RATES[:1], -1.0, 0, 0.2)
    policy.propose(Scene(root(), (root(),), 1, 100), 1)
    policy.feedback([first])
    programs = root(), Program(1, RATES[:1], root().graph, root().edits)
    edits = []
    for number in range(2, 6):
        (move,) = policy.propose(Scene(root(), programs, number, 100, 1), 1)
        edits.append(move.script[0])
    assert len(set(edits)) == 4


def test_that_a_kind_gained_at_a_place_is_no_reason_to_edit_the_place_again():
    loss = Edit("swap-activation", "train:act/call.gelu", (("to", "relu"),))
    insight = learned(Result(1, (loss,), 3.0, 0, 20.0, kept=True))
    made = Program(1, (loss,), root().graph, root().edits)
    first, again = (
        insight.believe(program, [replace(loss, choice=(("to", "silu"),))])[0][0] for program in (root(), made)
    )
    assert first > 0.5 > 0.0 > again
    created, beside = replace(loss, site="train:act/call.relu"), replace(loss, kind="wrap-call")
    assert insight.believe(made, [created])[0][0] < 0.0
    here, there = (insight.believe(program, [beside])[0][0] for program in (root(), made))
    assert here == pytest.approx(there, abs=0.2)  # it does not go over the other one


def test_a_number_is_set_again_whatever_sets_it():
    scaled = RATES[2]
    insight = learned(Result(1, (scaled,), 3.0, 0, 20.0, kept=True))
    made = Program(1, (scaled,), root().graph, root().edits)
    other = Edit("set-literal", scaled.site, (("to", 0.04),))
    assert insight.believe(made, [other])[0] < insight.believe(root(), [other])[0]


def test_edits_that_lead_back_are_given_up_and_other_duplicates_teach_nothing():
    loss = Edit("swap-activation", "train:act/call.gelu", (("to", "relu"),))
    back = replace(loss, choice=(("to", "silu"),))
    made = Program(1, (loss,), root().graph, root().edits)
    beliefs = []
    for parent in (None, 0, 1):
        insight = learned(Result(1, (loss,), 3.0, 0, 20.0, kept=True))
        insight.see(Scene(made, (root(), made), 2, 100, 1))
        if parent is not None:
            insight.learn(Result(2, (back,), -2.0, parent, math.nan, ok=False, repeats=True))
        beliefs.append(insight.believe(made, [back])[0][0])
    assert beliefs[0] == beliefs[1] > beliefs[2] + 0.5


def learned(*trials: Result, most_cost: float = math.inf) -> Insight:
    """What is known after trials of the unedited target."""
    insight = Insight(Kernel())
    for number, trial in enumerate(trials, start=1):
        insight.see(Scene(root(), (root(),), number, 100, number - 1, most_cost=most_cost))
        insight.learn(trial)
    insight.see(Scene(root(), (root(),), len(trials) + 1, 100, len(trials), most_cost=most_cost))
    return insight


def test_a_gain_that_nobody_can_trust_teaches_what_a_failure_teaches():
    flag, doubtful = kinds("flip-flag")[:1], Result(1, RATES[:1], 1.0, 0, 20.0, refused=True)
    failed = Result(1, RATES[:1], -2.0, 0, math.nan, ok=False)
    believed = [learned(trial).believe(root(), [*RATES, *flag])[0] for trial in (doubtful, failed)]
    assert np.array_equal(*believed)


def test_what_was_ended_for_its_cost_says_nothing_about_its_worth():
    ended = Result(1, RATES[:1], -1.0, 0, math.nan, ok=False, stopped=True, cost=5.0)
    before, after = (learned(*trials, most_cost=3.0).believe(root(), RATES) for trials in ([], [ended]))
    assert np.array_equal(before, after)
    assert not np.array_equal(before, learned(ended).believe(root(), RATES))  # where cost is no matter, it was stopped


def test_what_gained_at_too_high_a_price_did_gain():
    costly = Result(1, RATES[:1], 1.0, 0, 20.0, refused=True, cost=5.0)
    assert learned(costly, most_cost=3.0).believe(root(), RATES[:1])[0][0] > 1.0


def test_an_edit_that_costs_too_much_has_little_chance_wherever_it_is_made():
    costly = Result(1, RATES[3:], -1.0, 0, 0.0, cost=8.0)
    chances = learned(costly, most_cost=3.0).log_chances(root(), RATES)
    assert chances[3] < math.log(0.05)
    assert chances[1] > chances[2] > chances[3]  # the higher it is set, the more it costs
    assert (chances[:2] > math.log(0.9)).all()
    assert not learned(costly).log_chances(root(), RATES).any()


def test_costs_of_edits_are_taken_from_what_they_cost_together():
    flag = kinds("flip-flag")[0]
    pair = [Result(n, (RATES[3], flag), -1.0, 0, 0.0, cost=6.0) for n in (1, 2)]
    alone = [Result(n, RATES[3:], -1.0, 0, 0.0, cost=6.0) for n in (3, 4)]
    shared, explained = (
        learned(*trials, most_cost=1.5).log_chances(root(), [flag])[0] for trials in (pair, pair + alone)
    )
    assert shared < explained


def test_a_program_leaves_the_room_that_its_own_cost_leaves():
    flag, insight = (
        kinds("flip-flag")[0],
        learned(Result(1, RATES[3:], 1.0, 0, 3.0, kept=True, cost=2.0), most_cost=2.5),
    )
    made = Program(1, RATES[3:], root().graph, root().edits)
    assert insight.room(root()) - insight.room(made) == pytest.approx(1.0)
    assert insight.log_chances(made, [flag])[0] < insight.log_chances(root(), [flag])[0]


def test_edits_that_cost_too_much_together_are_not_tried_together():
    doubled = {edit.site: edit for edit in root().edits if dict(edit.choice).get("by") == 2.0}
    dear = list(doubled.values())[:2]
    trials = [Result(n, (edit,), 1.0, 0, 4.0, cost=2.2) for n, edit in enumerate(dear, start=1)]
    scripts = []
    for most_cost in (3.0, math.inf):
        insight = learned(*trials, most_cost=most_cost)
        gains, costs = insight.foresee(root(), dear)
        scripts.append(log_chance(*costs.join([0], [1]), insight.room(root()))[0])
        assert gains.join([0], [1])[0][0] > gains.mean[0]
    assert scripts[0] < math.log(0.5)
    assert scripts[1] == 0.0


@pytest.mark.parametrize(
    ("mean", "chance"), [(0.0, 0.5), (-40.0, 1.0), (-0.4, 1.0), (40.0, 1e-12), (0.2, 0.1587), (-0.2, 0.8413)]
)
def test_the_chance_to_stay_within_a_limit_is_the_normal_one_but_never_none_and_all_where_it_is_nearly_so(
    mean: float, chance: float
):
    assert math.exp(log_chance(np.array([mean]), np.zeros(1), 0.0)[0]) == pytest.approx(chance, rel=1e-3)


def test_what_other_targets_say_of_costs_counts_until_nobody_listens_to_them():
    said = describe(root().graph, root().edits)
    dear = fit_prior(said, np.zeros(len(said)), np.ones(len(said)), np.full(len(said), 4.0))
    chances = []
    for prior in (dear, None):
        insight = Insight(Kernel(), prior)
        insight.see(Scene(root(), (root(),), 1, 100, most_cost=3.0))
        chances.append(
            (insight.log_chances(root(), root().edits), insight.without_promises().log_chances(root(), root().edits))
        )
    (heard, unheard), (none, _) = chances
    assert heard.min() < -1.0
    assert np.array_equal(unheard, none)


def test_an_option_promises_less_where_its_program_may_cost_too_much():
    costly, promises = Result(1, RATES[3:], -1.0, 0, 0.0, cost=8.0), []
    for most_cost in (3.0, math.inf):
        insight = learned(costly, most_cost=most_cost)
        options = open_options(insight, Scene(root(), (root(),), 2, 100, 1, most_cost=most_cost))
        assert np.allclose(options.log_chance, insight.log_chances(root(), options.edits))
        promises.append(options.log_improvement)
    assert (promises[0] - promises[1]).min() < -0.1


def test_a_script_is_not_lengthened_beyond_what_it_may_cost():
    doubled = {edit.site: edit for edit in root().edits if dict(edit.choice).get("by") == 2.0}
    dear = list(doubled.values())[:2]
    trials = [Result(n, (edit,), 1.0, 0, 6.0, cost=2.2) for n, edit in enumerate(dear, start=1)]
    joined = []
    for most_cost in (2.4, math.inf):
        insight = learned(*trials, most_cost=most_cost)
        options = open_options(insight, Scene(root(), (root(),), 3, 100, 2, most_cost=most_cost))
        row = next(i for i, edit in enumerate(options.edits) if edit.kind == "flip-flag")
        joined.append(len({*lengthen(insight, root(), options, row)[0].script} & {*dear}))
    assert joined == [1, 2]
