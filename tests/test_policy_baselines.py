"""The door to the policies, and the two that learn nothing or little: random and local."""

import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graph.build import build_graph
from graph.snapshot import Snapshot
from mutator.edit import Edit
from policy.local import LocalPolicy
from policy.make import make_policy
from policy.protocol import Policy, PolicyError, Scene
from policy.random import RandomPolicy
from policy.testing import Program, Result

GRAPH = build_graph(Snapshot({"a.py": b"lr = 0.1\n"}))
EDITS = tuple(
    Edit(kind, f"a:f/{kind}.{site}", (("by", factor),))
    for kind, n_sites in (("scale-literal", 8), ("flip-flag", 2), ("swap-activation", 1))
    for site in range(n_sites)
    for factor in (0.5, 2.0)
)


def scene(edits: tuple[Edit, ...] = EDITS, number: int = 1) -> Scene:
    program = Program(0, (), GRAPH, edits)
    return Scene(program, (program,), number, n_trials=100)


def picked(policy: Policy, *args: object, n: int = 1) -> list[Edit]:
    return [edit for move in policy.propose(scene(*args), n) for edit in move.script]


def test_an_unknown_policy_is_refused_with_the_known_names():
    with pytest.raises(PolicyError, match="write one of random, local, evolution, bandit, tpe, gp, ppo"):
        make_policy("sgd", 0)


def test_making_a_baseline_does_not_import_torch():
    code = "import sys; from policy.make import make_policy; make_policy('local', 0); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", ["random", "local"])
@given(
    edits=st.lists(st.sampled_from(EDITS), unique=True),
    n=st.integers(0, 8),
    rewards=st.lists(st.floats(-5, 5), max_size=8),
)
def test_a_proposal_is_legal_and_names_no_edit_twice(name, edits, n, rewards):
    policy = make_policy(name, 0)
    policy.feedback(
        [Result(i, (edit,), reward) for i, (edit, reward) in enumerate(zip(EDITS, rewards, strict=False), 1)]
    )
    proposed = picked(policy, tuple(edits), n=n)
    assert set(proposed) <= set(edits)
    assert len(set(proposed)) == len(proposed) == min(n, len(edits))


def test_random_is_uniform_over_kinds_and_not_over_edits():
    policy = RandomPolicy(0)
    kinds = Counter(picked(policy, EDITS, number)[0].kind for number in range(1, 601))
    assert all(150 < kinds[kind] < 250 for kind in ("scale-literal", "flip-flag", "swap-activation"))


@pytest.mark.parametrize("name", ["random", "local"])
def test_what_is_drawn_depends_on_seed_and_number_alone(name):
    fresh, used = make_policy(name, 7), make_policy(name, 7)
    used.propose(scene(), 5)
    assert fresh.propose(scene(number=30), 3) == used.propose(scene(number=30), 3)
    assert any(fresh.propose(scene(number=i), 1) != make_policy(name, 8).propose(scene(number=i), 1) for i in range(9))


def test_local_returns_to_the_site_and_the_kind_that_gained():
    policy = LocalPolicy(0)
    policy.feedback([Result(1, EDITS[:1], 3.0, kept=True), Result(2, EDITS[2:3], -3.0), Result(3, EDITS[18:19], -3.0)])
    proposed = [picked(policy, EDITS[1:], number)[0] for number in range(10, 110)]
    assert (
        sum(edit == EDITS[1] for edit in proposed) > 70
    )  # the other factor at the site that gained; the rest explores


def test_local_tries_an_edit_again_only_when_no_new_one_is_left():
    policy = LocalPolicy(0)
    policy.feedback([Result(number, (edit,), 4.0, kept=True) for number, edit in enumerate(EDITS[:-1], 1)])
    assert picked(policy, n=2)[0] == EDITS[-1]
    assert len(picked(policy, n=len(EDITS))) == len(EDITS)


def test_local_recovers_what_it_learned():
    trials = [Result(number, (edit,), -float(number)) for number, edit in enumerate(EDITS[:9], 1)]
    live, recovered = LocalPolicy(0), LocalPolicy(0)
    for trial in trials:
        live.propose(scene(number=trial.number), 1)
        live.feedback([trial])
    recovered.recover([scene(number=trial.number) for trial in trials], trials)
    assert all(live.propose(scene(number=i), 4) == recovered.propose(scene(number=i), 4) for i in range(10, 30))


@pytest.mark.parametrize("reward", [float("nan"), float("inf")])
def test_a_reward_that_is_not_finite_is_refused(reward):
    with pytest.raises(PolicyError, match="trial 4: its reward is"):
        LocalPolicy(0).feedback([Result(4, EDITS[:1], reward)])
