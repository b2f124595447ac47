"""Synthetic landscapes, and campaigns that are walked on them."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest

from harness.benchmark.play import Task, schooling_for
from harness.landscape.ground import Ground, read_ground
from harness.landscape.landscape import share_gained
from harness.landscape.synthetic import Family, Synthetic, generate
from harness.landscape.walk import Walk, walk
from harness.values import Decision, Status
from policy.make import OWN, make_policy
from policy.ppo import PpoPolicy
from policy.protocol import Move, Policy, PolicyError

DRAWN = Family(seed=3)
SHARING = Family(seed=1000, rho=0.4)
QUIET = Family(seed=3, noise=0.01, pairs=0.0, crashes=0.0)


@lru_cache
def ground() -> Ground:
    return read_ground("bytelm")


@lru_cache
def landscape(family: Family = DRAWN, task: int = 0) -> Synthetic:
    return generate(ground(), family, task)


def singles(task: Synthetic) -> np.ndarray:
    return np.array([task.baseline - task.value([edit]) for edit in task.edits])  # bytelm's metric is a loss


# --- the landscape ----------------------------------------------------------------------------------------------------------------


def test_a_task_is_drawn_in_half_a_second_and_the_same_twice():
    first, began_s = landscape().best, time.process_time()
    again = generate(ground(), Family(seed=3), 0)
    assert again.best == first
    assert time.process_time() - began_s < 1.5  # half a second where nothing else runs
    assert np.array_equal(singles(again), singles(landscape()), equal_nan=True)


def test_most_edits_hurt_and_few_crash():
    gains = singles(landscape())
    assert 0.02 < np.isnan(gains).mean() < 0.05
    assert 0.05 < (gains > 1e-9).mean() < 0.3


def test_noise_is_in_units_of_the_median_effect():
    task = landscape(Family(seed=3, noise=0.5))
    gains = singles(task)
    live = ~np.isnan(gains) & ~ground().inert
    assert np.median(np.abs(gains[live])) == pytest.approx(task.sd / 0.5, rel=0.01)
    measured = [task.measure((), seed) - task.baseline for seed in range(400)]
    assert np.std(measured) == pytest.approx(task.sd, rel=0.15)


def test_programs_share_the_noise_of_a_seed():
    task, edit = landscape(Family(seed=3, noise=1.0)), landscape().edits[0]
    differences = [task.measure([edit], seed) - task.measure((), seed) for seed in range(400)]
    assert np.std(differences) == pytest.approx(task.sd, rel=0.15)  # unpaired it would be sqrt(2) sd


def test_what_changes_nothing_measures_the_same_to_the_last_digit():
    (inert, *_) = (edit for edit, is_inert in zip(ground().edits, ground().inert, strict=True) if is_inert)
    assert landscape().measure([inert], 5) == landscape().measure((), 5)


def test_a_script_is_a_set_and_a_site_has_one_edit():
    task = landscape(QUIET)
    first, second = task.edits[0], next(edit for edit in task.edits if edit.site != task.edits[0].site)
    assert task.value([first, second]) == task.value([second, first])
    assert all(edit.site != first.site for edit in task.legal([first]))
    assert math.isnan(task.value([edit for edit in task.edits if edit.site == task.edits[10].site][:2]))


def test_without_pairs_effects_add_up_and_the_best_takes_the_best_of_each_site():
    task = landscape(QUIET)
    gains, sites = singles(task), ground().sites
    best = sum(max(0.0, float(gains[sites == site].max())) for site in range(sites.max() + 1))
    assert task.baseline - task.best == pytest.approx(best)


def test_interactions_make_the_best_better_than_the_sum_of_the_singles():
    alone, paired = landscape(replace(QUIET, pairs=0.0)), landscape(replace(QUIET, pairs=0.05))
    assert paired.best < alone.best


def correlation(rho: float) -> float:
    one, other = (landscape(replace(QUIET, rho=rho, tuned=0.0), task) for task in (0, 1))
    return float(np.corrcoef(one.effects, other.effects)[0, 1])


def test_tasks_of_a_family_are_alike_by_its_transfer_share():
    assert correlation(0.0) < correlation(0.5) < correlation(1.0)
    assert abs(correlation(0.0)) < 0.65  # the curves of numbers are alike without any sharing: far steps hurt


def test_what_nobody_tuned_gains_more():
    assert landscape(replace(QUIET, tuned=0.0)).best < landscape(replace(QUIET, tuned=0.9)).best


# --- the walk ---------------------------------------------------------------------------------------------------------------------


def played(name: str = "random", seed: int = 0, n_trials: int = 30, family: Family = DRAWN) -> Walk:
    return walk(landscape(family), make_policy(name, seed), seed=seed, n_trials=n_trials)


def test_a_walk_is_determined_by_its_seeds():
    assert played().trials == played().trials
    assert played(seed=1).trials != played().trials


@pytest.mark.parametrize("name", ["local", "evolution", "bandit", "gp", "ppo"])
def test_recovering_equals_going_on(name):
    course = Walk(landscape(), 4, 30)
    scenes, policy = [], make_policy(name, 4)
    for _ in range(30):
        if len(course.trials) == 20:
            policy = make_policy(name, 4)
            policy.recover(scenes, course.trials)
        scenes.append(course.look())
        policy.feedback([course.play(policy.propose(scenes[-1], 1)[0])])
    assert course.trials == played(name, seed=4).trials


@pytest.mark.parametrize("name", ["gp", "ppo"])
def test_a_policy_that_recovers_with_trials_under_way_goes_on_as_it_would_have(name):
    """Twin edits tie, and a sum that is rounded otherwise decides between them."""

    def make() -> Policy:
        policy = make_policy(name, 0)
        if isinstance(policy, PpoPolicy):
            policy.take(schooling_for(Task("bytelm")))
        return policy

    course, policy = Walk(landscape(SHARING), 0, 16), make()
    scenes, proposed = [], []
    for number in range(1, 17):
        if number > 3:
            policy.feedback([course.play(proposed[number - 4])])
        scenes.append(replace(course.look(), number=number))
        proposed += policy.propose(scenes[-1], 1)
        if number > 9:
            again = make()
            again.recover(scenes[:-1], course.trials)
            assert again.propose(scenes[-1], 1) == (proposed[-1],), number


def test_a_scene_stays_as_it_was_shown():
    course = Walk(landscape(), 0, 10)
    scene = course.look()
    before = scene.edits
    course.play(Move(0, before[:1]))
    assert scene.edits == before
    assert before[0] not in course.look().parents[0].edits


def test_the_gain_is_the_incumbents_true_value_and_never_what_it_measured():
    noisy = Family(seed=3, noise=1.0)
    course = played("local", n_trials=80, family=noisy)
    task, kept, script = landscape(noisy), [step for step in course.trials if step.kept], ()
    scripts = {0: ()}
    for step in course.trials:
        scripts[step.number] = (*scripts[step.parent], *step.script) if step.ok else ()
    for step, gain in zip(course.trials, course.gains, strict=True):
        script = scripts[step.number] if step.kept else script
        assert gain == share_gained(task, script)
    assert kept
    assert len(set(course.gains)) == len(kept) + 1


def test_a_keep_was_confirmed_on_fresh_seeds_and_the_runs_are_counted():
    course = played("local", n_trials=60, family=QUIET)
    kept = [step for step in course.trials if step.verdict.decision is Decision.KEEP]
    assert kept
    assert all(len({outcome.seed for outcome in step.outcomes}) >= 3 for step in kept)
    assert course.n_runs == sum(len(step.outcomes) for step in course.trials) > 60


def test_what_crashes_costs_its_trial_and_is_no_parent():
    task = landscape()
    crashing = next(edit for edit in task.edits if math.isnan(task.value([edit])))
    course = Walk(task, 0, 10)
    step = course.play(Move(0, (crashing,)))
    assert not step.ok
    assert step.reward_total == -2.0
    assert len(course.look().parents) == 1


def test_the_same_program_by_another_way_is_a_duplicate():
    task = landscape(QUIET)
    one, other = task.edits[0], next(edit for edit in task.edits if edit.site != task.edits[0].site)
    course = Walk(task, 0, 10)
    assert course.play(Move(0, (one,))).ok
    assert course.play(Move(1, (other,))).ok
    assert course.play(Move(0, (other, one))).outcomes[0].status is Status.DUPLICATE


@pytest.mark.parametrize("broken", ["empty", "twice", "again", "unknown"])
def test_what_is_no_move_is_refused(broken):
    course = Walk(landscape(), 0, 10)
    first = landscape().edits[:1]
    course.play(Move(0, first))
    moves = {
        "empty": Move(0, ()),
        "twice": Move(0, (*first, *first)),
        "again": Move(0, first),
        "unknown": Move(9, first),
    }
    with pytest.raises(PolicyError, match="is no move of the scene"):
        course.play(moves[broken])


def test_a_policy_with_nothing_left_ends_the_walk():
    class Silent(OWN["random"]):
        def propose(self, scene, n):
            return super().propose(scene, n) if scene.number < 4 else ()

    course = walk(landscape(), Silent(0), seed=0, n_trials=10)
    assert len(course.trials) == 3
    assert len(course.gains) == 10
