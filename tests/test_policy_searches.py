"""The baselines that search: evolution, bandit, TPE, Gaussian process. That they conform is in test_policy_conformance."""

from __future__ import annotations

import builtins
import math
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import TYPE_CHECKING

import pytest

from graph.model import NodeKind
from graph.snapshot import Snapshot
from mutator.code import Code
from mutator.edit import Edit
from policy.bandit import BanditPolicy
from policy.evolution import EvolutionPolicy
from policy.gp import GpPolicy, Tuning
from policy.lineage import Lineage
from policy.make import make_policy
from policy.protocol import Move, PolicyError, Scene
from policy.testing import SOURCE, Program, Result, check_policy
from policy.tpe import TpePolicy, read_dimensions

if TYPE_CHECKING:
    from collections.abc import Callable

    from policy.protocol import Policy


@lru_cache
def root() -> Program:
    code = Code.of(Snapshot({"train.py": SOURCE}))
    return Program(0, (), code.graph, tuple(code.edits()))


@dataclass
class Separable:
    """A campaign in which each site has one good edit, everything adds up, and nothing is noisy."""

    policy: Policy
    worth: Callable[[Edit], float]

    def __post_init__(self) -> None:
        self.programs, self.trials, self.best = {0: root()}, [], 0
        self.leads = {0: 0.0}

    def step(self, number: int) -> Move:
        parents = tuple(self.programs.values())
        (move,) = self.policy.propose(Scene(self.programs[self.best], parents, number, 300, number - 1), 1)
        script = (*self.programs[move.parent].script, *move.script)
        lead = sum(map(self.worth, script))
        kept = lead > self.leads[self.best]
        gain = lead - self.leads[self.best]
        trial = Result(number, move.script, max(-1.0, gain), move.parent, lead, kept=kept)
        if len(move.script) == 1:
            parent = self.programs[move.parent]
            self.programs[move.parent] = replace(parent, edits=tuple(e for e in parent.edits if e not in move.script))
        taken = {edit.site for edit in script}
        left = tuple(edit for edit in root().edits if edit.site not in taken)
        self.programs[number] = Program(number, script, root().graph, left)
        self.leads[number] = lead
        self.best = number if kept else self.best
        self.trials.append(trial)
        self.policy.feedback([trial])
        return move

    def run(self, n_trials: int) -> float:
        for number in range(1, n_trials + 1):
            self.step(number)
        return self.leads[self.best]


@lru_cache
def good() -> frozenset[Edit]:
    """The last edit of each site but one."""
    at = {edit.site: edit for edit in root().edits}
    return frozenset(list(at.values())[:-1])


def worth(edit: Edit) -> float:
    return 1.0 if edit in good() else -1.0


OPTIMUM = len({edit.site for edit in root().edits}) - 1


@pytest.mark.parametrize(
    ("make", "n_trials"),
    [
        (partial(EvolutionPolicy, population=10, tournament=5), 260),
        (GpPolicy, 60),
    ],
    ids=["evolution", "gp"],
)
def test_the_optimum_of_a_separable_landscape_is_found(make, n_trials):
    assert Separable(make(0), worth).run(n_trials) >= OPTIMUM - 1


# --- evolution ----------------------------------------------------------------------------------------------------------------------


def test_the_oldest_die_however_good_they_are():
    policy = EvolutionPolicy(0, population=3, tournament=50, drop=0.0)
    game = Separable(policy, worth)
    game.run(8)
    moves = [game.step(number) for number in range(9, 17)]
    assert all(move.parent >= number - 3 for number, move in enumerate(moves, start=9))


def test_the_best_of_a_tournament_is_changed():
    policy = EvolutionPolicy(0, population=5, tournament=50, drop=0.0)
    game = Separable(policy, worth)
    game.run(10)
    for number in range(11, 22):
        youngest = sorted(game.leads)[-5:]
        move = game.step(number)
        assert game.leads[move.parent] == max(game.leads[each] for each in youngest)


def test_dropping_takes_one_edit_back():
    policy = EvolutionPolicy(0, population=2, tournament=1, drop=1.0)
    game = Separable(policy, lambda _: 1.0)
    game.run(8)
    scripts = {program.script for program in game.programs.values()}
    moves = [game.step(number) for number in range(9, 40)]
    dropping = [move for move in moves if move.parent == 0 and len(move.script) > 1]
    assert dropping
    made = {*scripts, *(program.script for program in game.programs.values())}
    assert all(
        any({*move.script} < {*script} and len(script) == len(move.script) + 1 for script in made) for move in dropping
    )


# --- bandit -------------------------------------------------------------------------------------------------------------------------


def test_an_arm_that_pays_is_pulled_more():
    def share(reward: float) -> int:
        policy = BanditPolicy(0)
        policy.propose(Scene(root(), (root(),), 1, 300), 1)
        for number, edit in enumerate(root().edits, 1):
            policy.feedback([Result(number, (edit,), reward if edit.kind == "scale-literal" else -1.0)])
        scenes = [Scene(root(), (root(),), number, 300) for number in range(100, 200)]
        return sum(policy.propose(scene, 1)[0].script[0].kind == "scale-literal" for scene in scenes)

    assert share(2.0) > 80
    assert share(-2.0) < 20


def test_a_kind_with_a_low_prior_is_pulled_less():
    kinds = sorted({edit.kind for edit in root().edits})

    def share(prior):
        scenes = [Scene(root(), (root(),), number, 300, 0, {kinds[0]: prior}) for number in range(200)]
        return sum(BanditPolicy(0).propose(scene, 1)[0].script[0].kind == kinds[0] for scene in scenes)

    assert share(0.1) < share(1.0) < share(10.0)


# --- TPE ----------------------------------------------------------------------------------------------------------------------------


def test_tpe_edits_literals_of_the_unedited_target_alone_and_never_by_what_changes_nothing():
    game = Separable(TpePolicy(0, n_startup=4), worth)
    moves = [game.step(number) for number in range(1, 25)]
    nodes = root().graph.nodes
    assert all(move.parent == 0 for move in moves)
    assert all(nodes[edit.site].kind is NodeKind.LITERAL for move in moves for edit in move.script)
    assert not {edit.kind for move in moves for edit in move.script} & {"hoist-literal", "thread-parameter"}
    assert all(len({edit.site for edit in move.script}) == len(move.script) for move in moves)


def test_a_dimension_is_ordered_by_what_its_edits_set_with_the_value_that_stands_among_them():
    ordered = [dimension for dimension in read_dimensions(root()) if dimension.ordered]
    assert ordered
    for dimension in ordered:
        by = [dict(edit.choice).get("by", 1.0) if edit else 1.0 for edit in dimension.options]
        scaled = [
            value
            for value, edit in zip(by, dimension.options, strict=True)
            if edit is None or "by" in dict(edit.choice)
        ]
        assert scaled == sorted(scaled)
        assert dimension.options.count(None) == 1


def test_tpe_goes_where_it_gained():
    def gain(edit: Edit) -> float:
        by = dict(edit.choice).get("by")
        return (3.0 if by < 1 else -1.0) if isinstance(by, float) else -1.0

    game = Separable(TpePolicy(0, n_startup=10), gain)
    game.run(40)
    early, late = (sum(game.leads[number] for number in numbers) for numbers in (range(1, 11), range(31, 41)))
    assert late > early + 10


def test_tpe_with_its_estimator_conforms():
    check_policy(partial(TpePolicy, n_startup=3))


def test_a_failure_counts_as_worse_than_the_worst():
    policy = TpePolicy(0, n_startup=2)
    scene = Scene(root(), (root(),), 1, 300)
    first, second = policy.propose(scene, 2)
    policy.feedback([Result(1, first.script, -1.0, 0, -7.0), Result(2, second.script, -2.0, 0, math.nan, ok=False)])
    assert sorted(trial.value for trial in policy._study.trials) == [-8.0, -7.0, 0.0]


def test_without_optuna_one_line_says_what_to_install(monkeypatch):
    real = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name == "optuna":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(PolicyError, match=r"needs Optuna, which is not installed; pip install 'codegraft\[optuna\]'"):
        make_policy("tpe", 0)


# --- Gaussian process ----------------------------------------------------------------------------------------------------------------


def test_gp_changes_the_program_that_is_best_on_average_not_the_lucky_one():
    policy, edits = GpPolicy(0, Tuning(n_parents=1)), root().edits
    at: dict[str, list[Edit]] = {}
    for edit in edits:
        at.setdefault(edit.site, []).append(edit)
    steady, lucky = sorted(at.values(), key=len)[-2:]
    trials = [Result(number, (edit,), 1.0, 0, 2.0) for number, edit in enumerate(steady, 1)]
    trials += [Result(100 + n, (edit,), -1.0, 0, 2.3 if n == 0 else -4.0) for n, edit in enumerate(lucky)]
    policy.recover([Scene(root(), (root(),), 1, 300)], trials)
    programs = [root(), *(Program(t.number, t.script, root().graph, edits) for t in trials)]
    (move,) = policy.propose(Scene(root(), tuple(programs), 200, 300), 1)
    assert move.parent in {trial.number for trial in trials[: len(steady)]}


def test_gp_with_its_process_conforms():
    check_policy(GpPolicy)


# --- lineage ------------------------------------------------------------------------------------------------------------------------


def test_a_program_is_known_by_its_edits_in_whatever_order():
    lineage, (one, other, *_) = Lineage(), root().edits
    lineage.add(Result(1, (one,), 1.0, 0, 1.0))
    lineage.add(Result(2, (other,), 1.0, 1, 2.0))
    assert not lineage.is_new(0, (other, one))
    assert lineage.is_new(0, (other,))
    assert lineage.scripts[2] == (one, other)


def test_what_failed_was_tried_but_is_no_program():
    lineage, (one, *_) = Lineage(), root().edits
    lineage.add(Result(1, (one,), -2.0, 0, math.nan, ok=False))
    assert not lineage.is_new(0, (one,))
    assert 1 not in lineage.scripts
