"""The conformance kit: what every policy must hold, ours and those that others write, tried out in made-up campaigns.

A policy of your own is tested exactly as those that ship:

    def test_my_policy_conforms(): check_policy(MyPolicy)

The campaigns edit a small program with the shipped grammar, keep three trials under way, and every fifth fails. What is not
asked for is that a policy finds anything.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING

from graph.snapshot import Snapshot
from mutator.code import Code
from mutator.edit import EditError, print_script
from policy.protocol import Scene

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from graph.code_graph import CodeGraph
    from mutator.edit import Edit
    from policy.protocol import Move, Parent, Policy

_SEED, _N_TRIALS, _WINDOW = 7, 16, 3
_FAILS_EACH = 5
SOURCE = b"""\
import torch
import torch.nn.functional as F

lr, decay, warmup, dropout = 0.01, 0.1, 50, 0.2
bias = True


def act(x):
    return F.dropout(F.gelu(x) * 0.5, dropout)


def build(net):
    return torch.optim.AdamW(net.parameters(), lr=lr, weight_decay=decay)
"""
_Moves = tuple[tuple["Edit", ...], ...]


@dataclass(frozen=True, slots=True)
class Program:
    """A program as a plain value: a policy.protocol.Parent for tests and for searches without a campaign."""

    number: int
    script: tuple[Edit, ...]
    graph: CodeGraph
    edits: tuple[Edit, ...]


@dataclass(frozen=True, slots=True)
class Result:
    """A trial as a plain value: a policy.protocol.Tried."""

    number: int
    script: tuple[Edit, ...]
    reward_total: float
    parent: int = 0
    lead: float = 0.0
    ok: bool = True
    kept: bool = False
    stopped: bool = False
    repeats: bool = False
    refused: bool = False
    cost: float = math.nan


def check_policy(make: Callable[[int], Policy]) -> None:
    """Try out all that policy.protocol asks of what makes a policy of a seed.

    Raises: AssertionError: something does not hold; it says what.
    """
    course = _Course()
    course.play(make(_SEED))
    again = _Course()
    again.play(make(_SEED))
    assert again.moves == course.moves, "another policy of the same seed proposes something else after the same trials"
    for number in (_WINDOW, len(course.moves) - 1):  # before anything is fed back, and near the end
        _check_recovery(make(_SEED), course, number)
    _check_batches(make(_SEED))
    _check_nothing_left(make(_SEED))


def _check_recovery(recovered: Policy, course: _Course, number: int) -> None:
    """Interrupt a campaign before it proposes a trial, and go on with a new policy."""
    before = course.scenes[: number - 1]
    recovered.recover(before, course.trials[: course.scenes[number - 1].n_known])
    n_known = course.scenes[number - 1].n_known
    for scene, move in zip(course.scenes[number - 1 :], course.moves[number - 1 :], strict=True):
        for trial in course.trials[n_known : scene.n_known]:
            recovered.feedback([trial])
        n_known = scene.n_known
        now = recovered.propose(scene, 1)
        assert now == (move,), (
            f"recovered before trial {number}, it proposes {_say(now)} for trial {scene.number}, not {_say([move])}"
        )


def _check_batches(policy: Policy) -> None:
    scene = _Course().look(1)
    moves = policy.propose(scene, 4)
    assert 0 < len(moves) <= 4, f"asked for 4 moves it proposes {len(moves)}"
    assert len(set(moves)) == len(moves), f"it proposes a move twice: {_say(moves)}"
    for move in moves:
        _check_move(move, scene)
    assert not policy.propose(scene, 0), "asked for no move it proposes one"
    policy.feedback([_Course().run(number, move) for number, move in enumerate(moves, start=1)])


def _check_nothing_left(policy: Policy) -> None:
    program = Program(0, (), _code(()).graph, ())
    moves = policy.propose(Scene(program, (program,), 1, _N_TRIALS), 2)
    assert moves == (), f"where nothing is left to try, it proposes {_say(moves)}"


def _check_move(move: Move, scene: Scene) -> None:
    on = next((parent for parent in scene.parents if parent.number == move.parent), None)
    said = f"trial {scene.number}: {_say([move])}"
    assert on is not None, f"{said}: is made on a program that is not in the scene"
    assert move.script, f"{said}: has no edit"
    assert len(set(move.script)) == len(move.script), f"{said}: has an edit twice"
    legal = on.edits if len(move.script) == 1 else (*on.edits, *getattr(on, "tried", ()))
    assert set(move.script) <= set(legal), f"{said}: is no move that its parent offers"


def _say(moves: Sequence[Move]) -> str:
    return "; ".join(f"{print_script(move.script)} on trial {move.parent}" for move in moves) or "nothing"


# --- a campaign that is made up -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Made:
    """A program of a made-up campaign."""

    number: int
    moves: _Moves
    lead: float = 0.0
    tried: frozenset[Edit] = frozenset()

    @property
    def script(self) -> tuple[Edit, ...]:
        return tuple(edit for move in self.moves for edit in move)

    @property
    def graph(self) -> CodeGraph:
        return _code(self.moves).graph

    @property
    def edits(self) -> tuple[Edit, ...]:
        return tuple(edit for edit in _edits(self.moves) if edit not in self.tried)


@dataclass
class _Course:
    """What a policy was shown, what it proposed, and what became of it."""

    scenes: list[Scene] = field(default_factory=list)
    moves: list[Move] = field(default_factory=list)
    trials: list[Result] = field(default_factory=list)  # that were fed back
    programs: dict[int, _Made] = field(default_factory=lambda: {0: _Made(0, ())})
    best: int = 0

    def play(self, policy: Policy) -> None:
        """Let a policy search until it has nothing more to try, or the trials are used up."""
        for number in range(1, _N_TRIALS + 1):
            if number > _WINDOW:
                policy.feedback([self.feed(number - _WINDOW)])
            scene = self.look(number)
            moves = policy.propose(scene, 1)
            assert len(moves) == 1, f"trial {number}: asked for one move it proposes {_say(moves)}"
            _check_move(moves[0], scene)
            self.scenes.append(scene)
            self.moves += moves
            self.mark(moves[0])

    def look(self, number: int) -> Scene:
        """Show the campaign as it is."""
        parents: tuple[Parent, ...] = tuple(self.programs.values())
        return Scene(self.programs[self.best], parents, number, _N_TRIALS, len(self.trials))

    def mark(self, move: Move) -> None:
        """Count a move as tried."""
        on = self.programs[move.parent]
        if len(move.script) == 1:
            self.programs[on.number] = replace(on, tried=on.tried | {*move.script})

    def feed(self, number: int) -> Result:
        """End a trial that is under way."""
        trial = self.run(number, self.moves[number - 1])
        self.trials.append(trial)
        if trial.ok:
            moves = (*self.programs[trial.parent].moves, trial.script)
            self.programs[number] = _Made(number, moves, trial.lead)
        self.best = number if trial.kept else self.best
        return trial

    def run(self, number: int, move: Move) -> Result:
        """Make up what a trial measures: every edit has an effect that its digest says."""
        on = self.programs[move.parent]
        if number % _FAILS_EACH == 0 or not _applies((*on.moves, move.script)):
            return Result(number, move.script, -2.0, move.parent, math.nan, ok=False)
        lead = on.lead + math.fsum(map(_effect, move.script))
        gain = lead - self.programs[self.best].lead
        return Result(number, move.script, max(-1.0, min(gain, 3.0)), move.parent, lead, kept=gain > 1.0)


def _effect(edit: Edit) -> float:
    return 4.0 * blake2b(edit.address.encode(), digest_size=1).digest()[0] / 256 - 2.5


def _applies(moves: _Moves) -> bool:
    try:
        _code(moves)
    except EditError:
        return False
    return True


@lru_cache(256)
def _code(moves: _Moves) -> Code:
    if not moves:
        return Code.of(Snapshot({"train.py": SOURCE}))
    return _code(moves[:-1]).apply_together(*moves[-1])


@lru_cache(256)
def _edits(moves: _Moves) -> tuple[Edit, ...]:
    return tuple(_code(moves).edits())
