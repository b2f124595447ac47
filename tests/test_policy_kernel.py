"""What edits do on one program, and what that tells of other programs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mutator.edit import Edit
from policy.costs import CostKernel
from policy.effects import Effects, Experience, read_gain
from policy.explain import sum_up
from policy.insight import Insight
from policy.kernel import Kernel
from policy.lineage import UNEDITED, Key, apart, key_of
from policy.protocol import Move, Scene
from policy.testing import Program, Result
from policy.traits import Traits, describe
from tests.test_policy_searches import root

EDITS = root().edits
RATE = Edit("scale-literal", "train:/literal.value", (("by", 2.0),))
SOME = st.frozensets(st.sampled_from(EDITS), max_size=6).map(key_of)


def traits(*edits: Edit) -> Traits:
    return describe(root().graph, edits)


def program(n_edits: int) -> Key:
    sites = {edit.site: edit for edit in EDITS if edit.site != RATE.site}
    return key_of(list(sites.values())[:n_edits])


def told(*trials: tuple[Key, float], kernel: Kernel | None = None) -> Effects:
    """What is believed after trials of one edit on programs."""
    experience = Experience()
    for where, gain in trials:
        experience.add(traits(RATE), *read_gain(gain, (0.2, 0.2)), program=where)
    return experience.fit(kernel or Kernel())


def test_the_farther_a_program_the_less_is_known_of_what_an_edit_gains_there():
    effects = told(*[(UNEDITED, 6.0)] * 3)
    beliefs = [effects.believe(traits(RATE), program(n)) for n in range(5)]
    means = [float(belief.mean[0]) for belief in beliefs]
    deviations = [float(belief.deviation[0]) for belief in beliefs]
    assert means == sorted(means, reverse=True)
    assert deviations == sorted(deviations)
    assert means[0] - 0.5 > means[-1] > Kernel().expect(traits(RATE))[0]


def test_an_edit_may_gain_on_one_program_and_lose_on_another():
    far = program(5)
    effects = told(*[(UNEDITED, 4.0), (far, -4.0)] * 4)
    assert effects.believe(traits(RATE)).mean[0] > 1.0
    assert effects.believe(traits(RATE), far).mean[0] < -0.5
    assert effects.steps[0] > 1.0 > -0.5 > effects.steps[1]


def test_where_all_carries_over_the_program_is_no_matter():
    effects = told((UNEDITED, 4.0), (program(2), 1.0), kernel=replace(Kernel(), carry=1.0))
    here, there = (effects.believe(traits(RATE), where) for where in (UNEDITED, program(5)))
    assert here.mean[0] == there.mean[0]
    assert here.deviation[0] == there.deviation[0]


def test_what_an_edit_costs_it_costs_on_any_program():
    assert (CostKernel().liken(apart([UNEDITED], [program(n) for n in range(6)])) == 1.0).all()


def test_beliefs_about_edits_one_by_one_and_together_agree_on_every_program():
    effects = told((UNEDITED, 4.0), (program(3), 1.0))
    for where in (UNEDITED, program(2), program(5)):
        alone, joint = effects.believe(traits(*EDITS), where), effects.foresee(traits(*EDITS), where)
        assert np.allclose(alone.mean, joint.mean)
        assert np.allclose(alone.deviation**2, np.diag(joint.covariance))


def test_to_await_a_trial_on_a_program_is_to_have_measured_there_what_was_expected(monkeypatch):
    for name in ("_SCALES", "_NOISES"):  # an expectation does not decide which is likeliest
        monkeypatch.setattr(f"policy.effects.{name}", (1.0,))
    where, every = program(3), traits(*EDITS)
    awaited = told((UNEDITED, 4.0)).awaiting(traits(RATE), where)
    again = Experience()
    again.add(traits(RATE), *read_gain(4.0, (0.2, 0.2)))
    again.add(traits(RATE), float(awaited.believe(traits(RATE), where).mean[0]), (1.0, 1.0), program=where)
    for at in (UNEDITED, where):
        measured, expected = again.fit(Kernel()).believe(every, at), awaited.believe(every, at)
        assert np.allclose(measured.mean, expected.mean)
        assert np.allclose(measured.deviation, expected.deviation)


def searched(*trials: tuple[int, float]) -> tuple[Insight, Program]:
    """What is known after trials of one edit, each on the unedited target (0) or a program with three others (1), and that program."""
    script = tuple({edit.site: edit for edit in EDITS if edit.site != RATE.site}.values())[:3]
    made, insight = Program(1, script, root().graph, EDITS), Insight(Kernel())
    insight.see(Scene(root(), (root(),), 1, 100))
    insight.learn(Result(1, script, 0.0, 0, 0.0))
    insight.see(Scene(root(), (root(), made), 2, 100, 1))
    for number, (parent, lead) in enumerate(trials, 2):
        insight.learn(Result(number, (RATE,), 1.0, parent, lead))
    return insight, made


def test_a_policy_knows_on_which_program_an_edit_was_tried():
    insight, made = searched((0, 5.0), (1, -5.0), (0, 5.0), (1, -5.0))
    here, there = (insight.believe(each, [RATE])[0][0] for each in (root(), made))
    assert here > there + 1.0
    joint, _ = insight.foresee(made, [RATE])
    assert joint.mean[0] == pytest.approx(there)
    found = sum_up(insight, made, [RATE], lambda edit: edit.kind)
    assert found[RATE.kind].effect == pytest.approx(there)


def test_what_is_under_way_on_a_program_makes_surest_of_that_program():
    insight, made = searched()
    scene = Scene(root(), (root(), made), 2, 100, 1)
    insight.propose(scene, [Move(1, (RATE,))])
    insight.see(replace(scene, number=3))
    here, there = (insight.believe(each, [RATE])[1][0] for each in (root(), made))
    assert there < 0.95 * here


@given(st.lists(SOME, min_size=1, max_size=5), st.lists(SOME, min_size=1, max_size=5))
def test_programs_are_as_far_apart_as_there_are_edits_that_one_of_them_has(programs: list[Key], others: list[Key]):
    assert apart(programs, others).tolist() == [[len(one ^ other) for other in others] for one in programs]


@given(st.lists(SOME, min_size=1, max_size=8))
def test_what_carries_over_between_programs_is_a_covariance(programs: list[Key]):
    assert np.linalg.eigvalsh(Kernel().liken(apart(programs, programs))).min() > -1e-9


@given(st.integers(0, len(EDITS)), st.integers(0, len(EDITS)))
def test_covariances_are_bit_for_bit_the_same_in_whatever_pieces_they_are_computed(begin: int, end: int):
    every = replace(traits(*EDITS), promise=np.linspace(-1.0, 2.0, len(EDITS)))
    whole = Kernel().covary(every, every)
    assert np.array_equal(whole, whole.T)
    piece = range(min(begin, end), max(begin, end))
    assert np.array_equal(
        whole[min(piece, default=0) : max(piece, default=-1) + 1], Kernel().covary(every[piece], every)
    )
