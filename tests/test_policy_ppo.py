"""The ppo policy as a campaign uses it: what it sees, what it proposes, that it learns, recovers and keeps checkpoints."""

import json
import math
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from graph.build import build_graph
from graph.code_graph import CodeGraph
from graph.snapshot import Snapshot, python_files, read_snapshot
from mutator.edit import Edit
from mutator.shipped import default_grammar
from policy.checkpoint import ABOUT, FORMAT, Schooling
from policy.content import encode_edits
from policy.draw import open_stream
from policy.gp import GpPolicy
from policy.insight import Insight
from policy.kernel import Kernel
from policy.make import SHIPPED
from policy.options import MAX_OPTIONS, limit, open_options
from policy.ppo import Design, PpoPolicy
from policy.prior import fit_prior
from policy.protocol import PolicyError, Scene
from policy.testing import Program, Result
from policy.traits import describe

torch.set_num_threads(1)  # sums depend on it

SOURCE = """\
import torch
import torch.nn.functional as F

lr = 0.01
bias = True


def act(x):
    return F.gelu(x) * 0.5


def build(net):
    return torch.optim.AdamW(net.parameters(), lr=lr, weight_decay=0.1)
"""
GRAPH = build_graph(Snapshot({"a.py": SOURCE.encode()}))
EDITS = tuple(default_grammar().edits(GRAPH))
BYTELM = Path(__file__).parent.parent / "targets" / "bytelm"


def look(
    edits: Sequence[Edit], number: int, n_trials: int = 20, *, graph: CodeGraph = GRAPH, n_known: int = 0
) -> Scene:
    program = Program(0, (), graph, tuple(edits))
    return Scene(program, (program,), number, n_trials, n_known)


def learner(seed: int) -> PpoPolicy:
    return PpoPolicy(seed, design=Design(online=True))


def picked(policy: PpoPolicy, scene: Scene, n: int = 1) -> list[Edit]:
    return [move.script[0] for move in policy.propose(scene, n)]


def pay(number: int, edit: Edit) -> Result:
    """A made-up trial: a digest decides what the edit earns."""
    dice = blake2b(edit.uri.encode(), digest_size=1).digest()[0] / 255
    reward = -5.0 if dice < 0.1 else 4 * dice - 3
    return Result(number, (edit,), reward, lead=reward, ok=dice >= 0.1, kept=dice > 0.9)


def search(policy: PpoPolicy, batches: tuple[int, ...]) -> list[Result]:
    """Let the policy propose batches of these sizes, tell it what they earn, and return the trials."""
    history, left = [], EDITS
    for n in batches:
        number = len(history) + 1
        scene = look(left, number, n_known=number - 1)
        trials = [pay(number + i, edit) for i, edit in enumerate(picked(policy, scene, n))]
        policy.feedback(trials)
        history += trials
        left = tuple(edit for edit in left if (edit,) not in {trial.script for trial in trials})
    return history


def search_ahead(policy: PpoPolicy, n_trials: int, window: int) -> tuple[list[Scene], list[Result]]:
    """Let the policy propose one trial at a time while the `window - 1` before it are under way; return what it saw and learned."""
    scenes, proposed, known, left = [], [], [], EDITS
    for number in range(1, n_trials + 1):
        if number > window:
            known.append(pay(len(known) + 1, proposed[len(known)]))
            policy.feedback(known[-1:])
        scenes.append(look(left, number, n_known=len(known)))
        proposed += picked(policy, scenes[-1])
        left = tuple(edit for edit in left if edit not in proposed)
    return scenes, known


def state_digest(policy: PpoPolicy, tmp_path: Path) -> str:
    policy.save(tmp_path / "state")
    return blake2b((tmp_path / "state").read_bytes()).hexdigest()


def test_renaming_what_the_author_named_changes_nothing_that_the_policy_sees():
    renamed = build_graph(Snapshot({"b.py": SOURCE.replace("act(", "squeeze(").replace("net", "model").encode()}))
    moved = tuple(default_grammar().edits(renamed))
    assert [edit.site for edit in moved] != [edit.site for edit in EDITS]
    assert (encode_edits(renamed, moved) == encode_edits(GRAPH, EDITS)).all()


def test_what_is_seen_of_an_edit_does_not_depend_on_the_others():
    """2 and 2.0 are equal, and two choices."""
    whole, real = (replace(EDITS[0], choice=(("by", by),)) for by in (2, 2.0))
    assert (encode_edits(GRAPH, [whole, real])[1] == encode_edits(GRAPH, [real])[0]).all()
    assert (encode_edits(GRAPH, [whole]) != encode_edits(GRAPH, [real])).any()


@pytest.mark.parametrize(
    ("old", "new"), [("F.gelu", "F.silu"), ("weight_decay=0.1", "weight_decay=0.9"), ("* 0.5", "+ 0.5")]
)
def test_another_callee_number_or_operator_is_seen(old, new):
    changed = build_graph(Snapshot({"a.py": SOURCE.replace(old, new).encode()}))
    sites = [edit for edit in EDITS if edit.site in changed.nodes]
    assert (encode_edits(changed, sites) != encode_edits(GRAPH, sites)).any()


@settings(max_examples=25, deadline=None)
@given(edits=st.lists(st.sampled_from(EDITS), unique=True), n=st.integers(0, 9), number=st.integers(1, 50))
def test_a_proposal_is_legal_and_names_no_move_twice(edits, n, number):
    moves = TAUGHT.propose(look(edits, number, 50, n_known=number - 1), n)  # nothing is under way
    assert {edit for move in moves for edit in move.script} <= {*edits, *TAUGHT.insight.ran_on(look((), 1).incumbent)}
    assert len({frozenset(move.script) for move in moves}) == len(moves) <= n
    new = [edit for edit in edits if edit not in TRIED]  # of which some ran and some failed
    assert (len(moves) > 0) is (n > 0 and len(new) > 0)


TAUGHT = PpoPolicy(0)
TRIED = {trial.script[0] for trial in search(TAUGHT, (2, 3)) if len(trial.script) == 1}


def test_it_proposes_legal_edits_of_a_real_target_and_learns_from_them():
    graph = build_graph(read_snapshot(BYTELM, python_files(BYTELM)))
    edits = tuple(default_grammar().edits(graph))
    policy = PpoPolicy(0)
    proposed = picked(policy, look(edits, 1, 100, graph=graph), 4)
    assert len(set(proposed) & set(edits)) == 4
    policy.feedback([pay(number, edit) for number, edit in enumerate(proposed, 1)])


def test_of_a_scene_that_is_too_large_the_best_enter_and_every_edit_some_day():
    edits = tuple(replace(EDITS[0], choice=(("by", 1.0 + i / 1000),)) for i in range(2 * MAX_OPTIONS))
    insight = Insight(Kernel())
    every = open_options(insight, look(edits, 1, 99))
    every = replace(every, mean=np.linspace(-1.0, 1.0, len(every)), deviation=np.ones(len(every)))
    seen = [{m.script[0] for m in limit(every, open_stream(0, "options", n)).moves} for n in range(1, 21)]
    assert all(len(entering) == MAX_OPTIONS for entering in seen)
    assert set().union(*seen) == set(edits)
    best = {every.moves[row].script[0] for row in (-every.log_improvement).argsort()[: MAX_OPTIONS // 4]}
    assert all(best <= entering for entering in seen)


def test_weights_change_with_every_trial_where_that_is_asked_for_and_else_never(tmp_path):
    policy, frozen = learner(0), PpoPolicy(0)
    states, before = [state_digest(policy, tmp_path)], state_digest(frozen, tmp_path)
    for batch in (1, 2):
        search(policy, (batch,))
        policy.look(look(EDITS, 50))
        states.append(state_digest(policy, tmp_path))
    search(frozen, (1, 2))
    assert len(set(states)) == 3
    assert state_digest(frozen, tmp_path) == before


def test_a_trial_that_the_network_had_no_say_in_changes_no_weights(tmp_path):
    policy = learner(0)
    search(policy, (1, 1, 1))
    policy.look(look(EDITS, 4, n_known=3))
    before = state_digest(policy, tmp_path)
    for number in (4, 5):
        (move,) = policy.propose(look(EDITS, number, n_known=number - 1), 1)
        policy.feedback([Result(number, move.script, 1.0, lead=1.0)])
        policy.look(look(EDITS, number + 1, n_known=number))
        assert (state_digest(policy, tmp_path) == before) is (number == 4)


@pytest.mark.parametrize("make", [PpoPolicy, learner])
def test_what_paid_is_proposed_more_often_afterwards(make):
    policy = make(0)
    scene = look(EDITS, 1, 100)
    paying = {edit for edit in EDITS if edit.kind == "swap-activation"}

    def share() -> float:
        shown = (replace(scene, number=100 + i, n_known=99 + i) for i in range(60))
        return sum(not paying.isdisjoint(policy.propose(each, 1)[0].script) for each in shown) / 60

    before = share()
    told = [*sorted(paying, key=str)[::2], *[edit for edit in EDITS if edit not in paying][::3]]
    for number, edit in enumerate(told, 1):
        policy.look(replace(scene, number=number, n_known=number - 1))
        gain = 2.0 if edit in paying else -1.0
        policy.feedback([Result(number, (edit,), gain, lead=gain)])
    assert share() > before + 0.2


def test_several_edits_that_are_surely_good_are_tried_together():
    policy, scene = PpoPolicy(0), look(EDITS, 1, 100)
    good = [next(e for e in EDITS if e.site.endswith(end)) for end in ("weight_decay", "bias", "lr")]
    policy.look(scene)
    for number, edit in enumerate(good * 4, 1):
        policy.feedback([Result(number, (edit,), 3.0, lead=5.0)])
    left = [edit for edit in EDITS if edit.site not in {each.site for each in good}]
    moves = policy.propose(look(left, 50, 100), 1)
    assert {edit.site for edit in good} <= {edit.site for edit in moves[0].script}
    assert policy.propose(look(left, 50, 100), 1) == moves
    alone = PpoPolicy(0, design=Design(scripts=False))
    assert all(len(move.script) == 1 for move in alone.propose(scene, 9))


@pytest.mark.parametrize("make", [PpoPolicy, GpPolicy])
def test_what_is_under_way_is_not_proposed_again_nor_after_recovery(make):
    scenes = [look(EDITS, number, n_known=0) for number in range(1, 8)]
    live, recovered = make(3), make(3)
    moves = [live.propose(scene, 1)[0] for scene in scenes]
    assert len({frozenset(move.script) for move in moves}) == len(moves)
    trials = [Result(n, move.script, 1.0, lead=1.0) for n, move in enumerate(moves[:2], 1)]
    recovered.recover(scenes, trials)
    live.feedback(trials[:1])
    live.feedback(trials[1:])
    later = look(EDITS, 8, n_known=2)
    assert recovered.propose(later, 1) == live.propose(later, 1)
    assert frozenset(live.propose(later, 1)[0].script) not in {frozenset(move.script) for move in moves}


def test_a_program_that_was_known_teaches_nothing_and_a_stopped_run_less_than_a_crash():
    edit = next(edit for edit in EDITS if edit.kind == "flip-flag")

    def believed(**ended: bool) -> float:
        policy = PpoPolicy(0)
        policy.look(look(EDITS, 1))
        policy.feedback([Result(1, (edit,), -1.0, lead=math.nan, ok=False, **ended)])
        return float(policy.insight.effects.believe(policy.insight.describe(look(EDITS, 1).incumbent, [edit])).mean[0])

    expected = float(Kernel().expect(describe(GRAPH, [edit]))[0])
    assert believed(repeats=True) == expected
    assert expected > believed(stopped=True) > believed()


def test_a_network_that_prefers_what_promises_least_hides_what_promises_most_for_three_trials_at_most(monkeypatch):
    policy = PpoPolicy(0, design=Design(scripts=False))
    policy.propose(look(EDITS, 1), 1)
    policy.feedback([Result(1, EDITS[:1], 1.0, lead=6.0)])
    options = policy.look(look(EDITS, 2, n_known=1)).options
    order = options.log_improvement.argsort()
    monkeypatch.setattr(policy, "log_probs", lambda _: torch.from_numpy(-1000.0 * order.argsort()))
    best, picked = options.log_improvement.max(), []
    for number in range(3, 10):
        (move,) = policy.propose(look(EDITS, number, n_known=number - 1), 1)
        picked.append(options.log_improvement[options.edits.index(move.script[0])] == best)
    assert picked == [number % 4 == 0 for number in range(3, 10)]


def test_what_other_targets_promise_of_what_does_harm_has_no_say_at_every_fourth_trial():
    """The policy tries what is promised; at trials 4 and 8 what it tries is what it would try that was promised nothing."""
    promising, alike = PpoPolicy(0), []
    traits = describe(GRAPH, EDITS)
    promising.take(Schooling(Kernel(), fit_prior(traits, np.linspace(-4.0, 4.0, len(EDITS)), np.ones(len(EDITS)))))
    trials: list[Result] = []
    for number in range(1, 9):
        scene = look(EDITS, number, n_known=number - 1)
        moves = promising.propose(scene, 1)
        alone = PpoPolicy(0)
        alone.recover([look(EDITS, trial.number, n_known=trial.number - 1) for trial in trials] + [scene], trials)
        alike.append(moves == alone.propose(scene, 1))
        trials.append(Result(number, moves[0].script, -1.0, lead=-2.0 * len(moves[0].script)))
        promising.feedback(trials[-1:])
    assert alike[:4] == [False, False, False, True]
    assert alike[7]


@pytest.mark.parametrize("make", [PpoPolicy, GpPolicy])
def test_nothing_is_made_of_a_program_that_was_refused(make):
    def parent_of_next(*, refused: bool) -> int:
        policy, edit = make(0), EDITS[0]
        policy.propose(look(EDITS, 1), 1)
        policy.feedback([Result(1, (edit,), 3.0, lead=20.0, refused=refused)])
        better = Program(1, (edit,), GRAPH, EDITS[1:])
        root = Program(0, (), GRAPH, EDITS[1:])
        return policy.propose(Scene(root, (root, better), 2, 20, 1), 1)[0].parent

    assert (parent_of_next(refused=False), parent_of_next(refused=True)) == (1, 0)


def test_an_edit_that_it_could_not_have_proposed_is_remembered_and_not_learned_from(tmp_path):
    policy = learner(0)
    search(policy, (1,))  # a step to learn from
    policy.propose(look(EDITS[1:], 2, n_known=1), 1)
    before = state_digest(policy, tmp_path)
    policy.feedback([Result(2, EDITS[:1], 3.0, lead=3.0)])
    policy.look(look(EDITS, 3, n_known=2))
    assert state_digest(policy, tmp_path) == before
    assert policy.memory.edits[EDITS[0].kind, EDITS[0].site, EDITS[0].choice].n == 1


def test_feedback_without_a_proposal_is_refused():
    with pytest.raises(PolicyError, match="trial 3: was not proposed"):
        PpoPolicy(0).feedback([Result(3, EDITS[:1], 1.0)])


@pytest.mark.parametrize("make", [PpoPolicy, learner])
def test_a_recovered_policy_is_bit_for_bit_the_one_that_was_not_interrupted(tmp_path, make):
    for window in (1, 3):
        live, recovered, other = make(5), make(5), make(6)
        scenes, trials = search_ahead(live, 7, window)
        recovered.recover(scenes, trials)
        assert state_digest(recovered, tmp_path) == state_digest(live, tmp_path)
        for policy in (live, recovered):  # what was under way ends
            policy.feedback([pay(len(trials) + 1, EDITS[0])])
        scene = look(EDITS, 8)
        assert recovered.propose(scene, 6) == live.propose(scene, 6)
        other.recover(scenes, trials)
        assert state_digest(other, tmp_path) != state_digest(live, tmp_path)


def test_what_was_under_way_is_recovered_as_it_was_seen(tmp_path):
    live, late = learner(5), learner(5)
    scenes, trials = search_ahead(live, 7, 3)
    late.recover([replace(scene, n_known=min(scene.number - 1, len(trials))) for scene in scenes], trials)
    assert state_digest(late, tmp_path) != state_digest(live, tmp_path)


def test_another_process_makes_the_same_policy_of_the_same_trials(tmp_path):
    policy = learner(5)
    search(policy, (2, 1))
    code = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import test_policy_ppo as t; from pathlib import Path; "
    code += f"p = t.learner(5); t.search(p, (2, 1)); print(t.state_digest(p, Path({str(tmp_path)!r})))"
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == state_digest(policy, tmp_path)


def test_a_checkpoint_holds_weights_and_optimizer(tmp_path):
    taught, fresh = learner(1), learner(2)
    search(taught, (2, 1))
    taught.save(tmp_path / "policy.safetensors")
    fresh.load(tmp_path / "policy.safetensors")
    assert state_digest(fresh, tmp_path) == state_digest(taught, tmp_path)
    assert any(name.startswith("optimizer.") for name in load_file(tmp_path / "policy.safetensors"))
    assert [path.name for path in tmp_path.iterdir() if "partial" in path.name] == []
    search(fresh, (1,))  # and it goes on learning


def test_a_checkpoint_holds_what_other_targets_promise(tmp_path):
    taught, fresh = PpoPolicy(1), PpoPolicy(2)
    traits = describe(GRAPH, EDITS)
    prior = fit_prior(traits, np.arange(len(traits), dtype=float), np.ones(len(traits)))
    taught.take(Schooling(Kernel(mean=-0.3), prior, '{"seed": 1}'))
    taught.save(tmp_path / "policy.safetensors")
    fresh.load(tmp_path / "policy.safetensors")
    found = fresh.schooling
    assert (found.kernel, found.recipe) == (Kernel(mean=-0.3), '{"seed": 1}')
    assert np.array_equal(found.prior.promise(traits), prior.promise(traits))
    assert fresh.propose(look(EDITS, 1), 3) != PpoPolicy(2).propose(look(EDITS, 1), 3)


def about(kernel=()):
    return {ABOUT: json.dumps({"format": FORMAT, "kernel": dict(kernel) if kernel is not None else None})}


def spoil_shape(tensors):
    return {**tensors, "network.kind_head.weight": torch.zeros(1, 3)}


def spoil_type(tensors):
    return {**tensors, "network.trust": tensors["network.trust"].double()}


def spoil_by_leaving_out(tensors):
    return {name: tensor for name, tensor in tensors.items() if name != "network.trust"}


def spoil_by_adding(tensors):
    return {**tensors, "optimizer.nobody.step": torch.zeros(())}


def spoil_by_a_name_of_two_lines(tensors):
    return {**tensors, "a\nb": torch.zeros(())}


@pytest.mark.parametrize(
    "spoil", [spoil_shape, spoil_type, spoil_by_leaving_out, spoil_by_adding, spoil_by_a_name_of_two_lines]
)
def test_a_checkpoint_that_does_not_fit_is_refused_in_one_line_and_changes_nothing(tmp_path, spoil):
    policy, path = PpoPolicy(0), tmp_path / "policy.safetensors"
    before = state_digest(policy, tmp_path)
    policy.save(path)
    save_file(spoil(load_file(path)), path, metadata=about())
    with pytest.raises(PolicyError, match="this network has") as caught:
        policy.load(path)
    assert "\n" not in str(caught.value)
    assert state_digest(policy, tmp_path) == before


@pytest.mark.parametrize(
    ("kernel", "said"),
    [
        (None, "its kernel cannot be read"),
        ({"any": "x"}, "its kernel cannot be read"),
        ({"any": math.inf}, "its kernel is not finite"),
        ({"any": 10**400}, "its kernel cannot be read"),
        ({"no": 1}, "its kernel cannot be read"),
        ({"length": 0.0}, "variances or distances that are none"),
        ({"fade": 0.0}, "variances or distances that are none"),
        ({"carry": 1.5}, "variances or distances that are none"),
        ({"edit": -0.1}, "variances or distances that are none"),
    ],
)
def test_a_kernel_that_makes_no_sense_is_refused(tmp_path, kernel, said):
    path = tmp_path / "policy.safetensors"
    PpoPolicy(0).save(path)
    save_file(load_file(path), path, metadata=about(kernel))
    with pytest.raises(PolicyError, match=said):
        PpoPolicy(0).load(path)


def test_metadata_that_no_parser_follows_is_refused(tmp_path):
    path = tmp_path / "policy.safetensors"
    PpoPolicy(0).save(path)
    save_file(load_file(path), path, metadata={"codegraft": "[" * 200_000})
    with pytest.raises(PolicyError, match="has the format None"):
        PpoPolicy(0).load(path)


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("part", ["network", "prior.sites", "prior.weights"])
def test_numbers_that_are_none_are_refused(tmp_path, part, value):
    path = tmp_path / "policy.safetensors"
    tensors = load_file(SHIPPED)
    next(tensor for name, tensor in tensors.items() if name.startswith(part)).fill_(value)
    with safe_open(SHIPPED, framework="pt") as file:
        save_file(tensors, path, metadata=file.metadata())
    with pytest.raises(PolicyError, match=f"'{part}.* is not finite"):
        PpoPolicy(0).load(path)


def test_a_checkpoint_is_not_written_where_there_is_no_folder(tmp_path):
    with pytest.raises(PolicyError, match="cannot be written"):
        PpoPolicy(0).save(tmp_path / "none" / "policy.safetensors")


def test_a_fork_trains_the_network_that_it_shares():
    policy = PpoPolicy(0)
    fork = policy.fork(1, Design(online=True))
    shared = {id(parameter) for parameter in policy.network.parameters()}
    assert {id(each) for group in fork._optimizer.param_groups for each in group["params"]} == shared


@pytest.mark.parametrize("part", ["kinds", "sites", "weights"])
def test_a_prior_that_does_not_fit_is_refused(tmp_path, part):
    policy, path = PpoPolicy(0), tmp_path / "policy.safetensors"
    traits = describe(GRAPH, EDITS)
    policy.take(Schooling(Kernel(), fit_prior(traits, np.zeros(len(traits)), np.ones(len(traits)))))
    policy.save(path)
    tensors = load_file(path)
    save_file(
        {**tensors, f"prior.{part}": tensors[f"prior.{part}"][:-1].clone()},
        path,
        metadata=about(),
    )
    with pytest.raises(PolicyError, match="its prior does not fit"):
        policy.load(path)


@pytest.mark.parametrize("content", [None, b"", b"\x80\x04N."])
def test_what_is_no_checkpoint_is_refused(tmp_path, content):
    path = tmp_path / "policy.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(PolicyError, match="cannot be read as a checkpoint"):
        PpoPolicy(0).load(path)


def test_a_checkpoint_of_another_format_is_refused(tmp_path):
    save_file({"network.trust": torch.zeros(())}, tmp_path / "other")
    with pytest.raises(PolicyError, match="has the format None"):
        PpoPolicy(0).load(tmp_path / "other")
