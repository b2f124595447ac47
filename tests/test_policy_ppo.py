"""The ppo policy as a campaign uses it: what it sees, what it proposes, that it learns, recovers and keeps checkpoints."""

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from graph.build import build_graph
from graph.code_graph import CodeGraph
from graph.snapshot import Snapshot, python_files, read_snapshot
from mutator.edit import Edit
from mutator.shipped import default_grammar
from policy.checkpoint import FORMAT
from policy.content import encode_edits
from policy.draw import open_stream
from policy.make import make_policy
from policy.memory import Memory
from policy.observe import MAX_OPTIONS, observe
from policy.ppo import PpoPolicy
from policy.protocol import PolicyError, Scene
from policy.testing import Program, Result

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


def picked(policy: PpoPolicy, scene: Scene, n: int = 1) -> list[Edit]:
    return [edit for move in policy.propose(scene, n) for edit in move.script]


def pay(number: int, edit: Edit) -> Result:
    """A made-up trial: a digest decides what the edit earns."""
    dice = blake2b(edit.uri.encode(), digest_size=1).digest()[0] / 255
    return Result(number, (edit,), -5.0 if dice < 0.1 else 4 * dice - 3, ok=dice >= 0.1, kept=dice > 0.9)


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


@pytest.mark.parametrize(
    ("old", "new"), [("F.gelu", "F.silu"), ("weight_decay=0.1", "weight_decay=0.9"), ("* 0.5", "+ 0.5")]
)
def test_another_callee_number_or_operator_is_seen(old, new):
    changed = build_graph(Snapshot({"a.py": SOURCE.replace(old, new).encode()}))
    sites = [edit for edit in EDITS if edit.site in changed.nodes]
    assert (encode_edits(changed, sites) != encode_edits(GRAPH, sites)).any()


@settings(max_examples=25, deadline=None)
@given(edits=st.lists(st.sampled_from(EDITS), unique=True), n=st.integers(0, 9), number=st.integers(1, 50))
def test_a_proposal_is_legal_and_names_no_edit_twice(edits, n, number):
    proposed = picked(TAUGHT, look(edits, number, 50), n)
    assert set(proposed) <= set(edits)
    assert len(set(proposed)) == len(proposed) == min(n, len(edits))


TAUGHT = make_policy("ppo", 0)
search(TAUGHT, (2, 3))


def test_it_proposes_legal_edits_of_a_real_target_and_learns_from_them():
    graph = build_graph(read_snapshot(BYTELM, python_files(BYTELM)))
    edits = tuple(default_grammar().edits(graph))
    policy = PpoPolicy(0)
    proposed = picked(policy, look(edits, 1, 100, graph=graph), 4)
    assert len(set(proposed) & set(edits)) == 4
    policy.feedback([pay(number, edit) for number, edit in enumerate(proposed, 1)])


def test_of_a_scene_that_is_too_large_every_edit_enters_some_day():
    edits = tuple(replace(EDITS[0], choice=(("by", 1.0 + i / 1000),)) for i in range(2 * MAX_OPTIONS))
    seen = [observe(look(edits, n, 99), edits, Memory(), open_stream(0, "options", n)).edits for n in range(1, 21)]
    assert all(len(entering) == MAX_OPTIONS for entering in seen)
    assert set().union(*seen) == set(edits)


def test_every_update_changes_the_parameters(tmp_path):
    policy = PpoPolicy(0)
    states = [state_digest(policy, tmp_path)]
    for batch in (1, 2):
        search(policy, (batch,))
        states.append(state_digest(policy, tmp_path))
    assert len(set(states)) == 3


def test_what_paid_is_proposed_more_often_afterwards():
    policy = PpoPolicy(0)
    scene = look(EDITS, 1, 100)
    paying = {edit for edit in EDITS if edit.site.endswith("weight_decay")}

    def share() -> float:
        return sum(picked(policy, replace(scene, number=100 + i))[0] in paying for i in range(60)) / 60

    before = share()
    for number in range(1, 13):
        (edit,) = picked(policy, replace(scene, number=number))
        policy.feedback([Result(number, (edit,), 2.0 if edit in paying else -1.0)])
    assert share() > before + 0.2


def test_an_edit_that_it_could_not_have_proposed_is_remembered_and_not_learned_from(tmp_path):
    policy = PpoPolicy(0)
    policy.propose(look(EDITS[1:], 1), 1)
    before = state_digest(policy, tmp_path)
    policy.feedback([Result(1, EDITS[:1], 3.0)])
    assert state_digest(policy, tmp_path) == before
    assert policy._memory.edits[EDITS[0].kind, EDITS[0].site, EDITS[0].choice].n == 1


def test_feedback_without_a_proposal_is_refused():
    with pytest.raises(PolicyError, match="trial 3: was not proposed"):
        PpoPolicy(0).feedback([Result(3, EDITS[:1], 1.0)])


def test_a_recovered_policy_is_bit_for_bit_the_one_that_was_not_interrupted(tmp_path):
    for window in (1, 3):
        live, recovered, other = PpoPolicy(5), PpoPolicy(5), PpoPolicy(6)
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
    live, late = PpoPolicy(5), PpoPolicy(5)
    scenes, trials = search_ahead(live, 7, 3)
    late.recover([replace(scene, n_known=min(scene.number - 1, len(trials))) for scene in scenes], trials)
    assert state_digest(late, tmp_path) != state_digest(live, tmp_path)


def test_another_process_makes_the_same_policy_of_the_same_trials(tmp_path):
    policy = make_policy("ppo", 5)
    search(policy, (2, 1))
    code = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import test_policy_ppo as t; from pathlib import Path; "
    code += f"p = t.make_policy('ppo', 5); t.search(p, (2, 1)); print(t.state_digest(p, Path({str(tmp_path)!r})))"
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == state_digest(policy, tmp_path)


def test_a_checkpoint_holds_weights_and_optimizer(tmp_path):
    taught, fresh = PpoPolicy(1), PpoPolicy(2)
    search(taught, (2,))
    taught.save(tmp_path / "policy.safetensors")
    fresh.load(tmp_path / "policy.safetensors")
    assert state_digest(fresh, tmp_path) == state_digest(taught, tmp_path)
    assert any(name.startswith("optimizer.") for name in load_file(tmp_path / "policy.safetensors"))
    assert [path.name for path in tmp_path.iterdir() if "partial" in path.name] == []
    search(fresh, (1,))  # and it goes on learning


def spoil_shape(tensors):
    return {**tensors, "network.kind_head.weight": torch.zeros(1, 3)}


def spoil_type(tensors):
    return {**tensors, "network.trust": tensors["network.trust"].double()}


def spoil_by_leaving_out(tensors):
    return {name: tensor for name, tensor in tensors.items() if name != "network.trust"}


def spoil_by_adding(tensors):
    return {**tensors, "optimizer.nobody.step": torch.zeros(())}


@pytest.mark.parametrize("spoil", [spoil_shape, spoil_type, spoil_by_leaving_out, spoil_by_adding])
def test_a_checkpoint_that_does_not_fit_is_refused_in_one_line_and_changes_nothing(tmp_path, spoil):
    policy, path = PpoPolicy(0), tmp_path / "policy.safetensors"
    before = state_digest(policy, tmp_path)
    policy.save(path)
    save_file(spoil(load_file(path)), path, metadata={"format": FORMAT})
    with pytest.raises(PolicyError, match="this network has") as caught:
        policy.load(path)
    assert "\n" not in str(caught.value)
    assert state_digest(policy, tmp_path) == before


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
