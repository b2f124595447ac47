"""The conformance kit on our own policies and on bad ones, and policies that a package brings."""

from __future__ import annotations

import random
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from graph.snapshot import Snapshot
from mutator.code import Code
from policy.make import OWN, make_policy
from policy.protocol import Move, PolicyError
from policy.random import RandomPolicy
from policy.testing import SOURCE, check_policy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from policy.protocol import Scene, Tried


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name == "ppo" else name for name in OWN]
)
def test_our_policies_conform(name: str) -> None:
    check_policy(partial(make_policy, name))


class Wild(RandomPolicy):
    """Proposes scripts of two edits on any program."""

    def propose(self, scene: Scene, n: int) -> tuple[Move, ...]:
        moves = []
        for number in range(scene.number, scene.number + n):
            stream = random.Random(f"wild/{self._seed}/{number}")
            parents = [parent for parent in scene.parents if len(parent.edits) > 1]
            if parents:
                parent = stream.choice(parents)
                moves.append(Move(parent.number, tuple(stream.sample(parent.edits, 2))))
        return tuple(moves)


def test_scripts_on_any_measured_program_conform() -> None:
    check_policy(Wild)


class Forgetful(RandomPolicy):
    """Draws by how often it was asked, which no ledger knows."""

    def propose(self, scene: Scene, n: int) -> tuple[Move, ...]:
        self._seed += 1
        return super().propose(scene, n)


class Restless(RandomPolicy):
    """Draws from the system's randomness."""

    def __init__(self, seed: int) -> None:
        super().__init__(random.SystemRandom().getrandbits(32))


class Stubborn(RandomPolicy):
    """Always proposes the same."""

    def propose(self, scene: Scene, n: int) -> tuple[Move, ...]:
        return super().propose(scene, n)[:1] * n


class Blind(RandomPolicy):
    """Never sees that its edit was tried."""

    def propose(self, scene: Scene, n: int) -> tuple[Move, ...]:
        return tuple(Move(0, (edit,)) for edit in EDITS[:n])


EDITS = tuple(Code.of(Snapshot({"train.py": SOURCE})).edits())


class Trusting(RandomPolicy):
    """Expects every trial to be measured."""

    def feedback(self, trials: Sequence[Tried]) -> None:
        for trial in trials:
            round(trial.lead)


class Idle(RandomPolicy):
    """Proposes nothing."""

    def propose(self, scene: Scene, n: int) -> tuple[Move, ...]:
        return ()


class Empty(RandomPolicy):
    """Proposes scripts without edits."""

    def propose(self, scene: Scene, n: int) -> tuple[Move, ...]:
        return tuple(Move(0, ()) for _ in range(n))


class Greedy(RandomPolicy):
    """Proposes more moves than it is asked for."""

    def propose(self, scene: Scene, n: int) -> tuple[Move, ...]:
        return super().propose(scene, n if n < 2 else n + 1)


class Eager(RandomPolicy):
    """Proposes a move when asked for none."""

    def propose(self, scene: Scene, n: int) -> tuple[Move, ...]:
        return super().propose(scene, max(n, 1))


class Tireless(RandomPolicy):
    """Proposes something where nothing is left."""

    def propose(self, scene: Scene, n: int) -> tuple[Move, ...]:
        return super().propose(scene, n) if scene.parents[0].edits else (Move(0, ()),)


class Lost(RandomPolicy):
    """Edits a program that nobody made."""

    def propose(self, scene: Scene, n: int) -> tuple[Move, ...]:
        return tuple(Move(99, move.script) for move in super().propose(scene, n))


class Twofold(RandomPolicy):
    """Makes an edit twice."""

    def propose(self, scene: Scene, n: int) -> tuple[Move, ...]:
        return tuple(Move(move.parent, move.script * 2) for move in super().propose(scene, n))


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        (Greedy, "asked for 4 moves it proposes 5"),
        (Eager, "asked for no move it proposes one"),
        (Tireless, "where nothing is left to try, it proposes"),
        (Lost, "is made on a program that is not in the scene"),
        (Twofold, "has an edit twice"),
        (Forgetful, "recovered before trial"),
        (Restless, "another policy of the same seed"),
        (Stubborn, "proposes a move twice"),
        (Idle, "asked for one move it proposes nothing"),
        (Empty, "has no edit"),
        (Blind, "is no move that its parent offers"),
    ],
)
def test_what_does_not_conform_is_said(policy: type[RandomPolicy], said: str) -> None:
    with pytest.raises(AssertionError, match=said):
        check_policy(policy)


def test_a_policy_that_a_failed_trial_breaks_does_not_conform() -> None:
    with pytest.raises(ValueError, match="NaN"):
        check_policy(Trusting)


def bring(folder: Path, name: str, source: str, made_by: str = "maker") -> None:
    """Install a package with a policy, as pip would leave it."""
    (folder / "foreign.py").write_text(source)
    info = folder / "foreign-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: foreign\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[codegraft.policies]\n{name} = foreign:{made_by}\n")


def test_a_policy_that_a_package_brings_is_made_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bring(tmp_path, "mine", "from policy.random import RandomPolicy as maker\n")
    monkeypatch.syspath_prepend(tmp_path)
    check_policy(partial(make_policy, "mine"))
    with pytest.raises(
        PolicyError,
        match="policy 'yours': is not known; write one of random, local, evolution, bandit, tpe, gp, ppo, mine",
    ):
        make_policy("yours", 1)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import nothing_of_that_name\n", "ModuleNotFoundError"),
        ("maker = 3\n", "TypeError"),
        ("def maker(seed):\n    raise RuntimeError('first\\nsecond')\n", "RuntimeError: first"),
        ("maker = str\n", "it has no propose"),
    ],
)
def test_a_broken_package_is_one_line_with_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, said: str
) -> None:
    bring(tmp_path, "mine", source)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "foreign", raising=False)
    with pytest.raises(PolicyError, match=said) as caught:
        make_policy("mine", 1)
    assert str(caught.value).startswith("policy mine: foreign:maker makes none")
    assert "\n" not in str(caught.value)


def test_no_package_takes_a_name_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bring(tmp_path, "random", "maker = str\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert isinstance(make_policy("random", 1), RandomPolicy)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("raise KeyError('lost')", "propose failed (KeyError: 'lost'); repair its package"),
        ("return None", "proposed None; return a tuple of policy.protocol.Move"),
        ("return ((0, ()),)", "proposed ((0, ()),); return a tuple of policy.protocol.Move"),
        ("return (Move(0, ('scale',)),)", "proposed (Move(parent=0, script=('scale',)),); return a tuple of policy.protocol.Move"),
    ],
)  # fmt: skip
def test_a_policy_that_fails_in_a_campaign_is_one_line_with_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, said: str
) -> None:
    source = f"""
from policy.protocol import Move
from policy.random import RandomPolicy
class maker(RandomPolicy):
    def propose(self, scene, n):
        {body}
"""
    bring(tmp_path, "mine", source)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "foreign", raising=False)
    with pytest.raises(PolicyError) as caught:
        check_policy(partial(make_policy, "mine"))
    assert str(caught.value) == f"policy mine: {said}"
