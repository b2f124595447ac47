"""What may be left out of the ppo policy is left out: hidden parts of an observation, separate heads, and what a kernel is judged by."""

from __future__ import annotations

import math
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch

from bench.ablation import TRAINED, VARIANTS
from bench.reading import reading
from bench.tune_kernel import Task, judge
from harness.landscape.ground import read_ground
from harness.landscape.synthetic import Family, generate
from harness.landscape.walk import Walk
from mutator.kind import Refused
from policy.insight import Insight
from policy.kernel import Kernel
from policy.memory import Memory
from policy.network import EditNetwork, collate
from policy.observe import Observation, hide, observe
from policy.options import open_options
from policy.ppo import ALONE_EACH, Design, PpoPolicy
from policy.protocol import Move, Scene
from policy.testing import Result
from targets.wishes import Weights
from tests.test_policy_searches import root

torch.set_num_threads(1)


def look(*rewards: float) -> Observation:
    scene, memory = Scene(root(), (root(),), 9, 20), Memory()
    for number, reward in enumerate(rewards, 1):
        memory.add(Result(number, root().edits[number : number + 1], reward), root().graph)
    options = open_options(Insight(Kernel()), scene)
    assert options is not None
    return observe(scene, options, memory)


def same(one: Observation, other: Observation) -> bool:
    return all(torch.equal(getattr(one, name), getattr(other, name)) for name in Observation.__slots__)


def test_a_hidden_history_is_that_of_no_trial():
    assert not same(look(1.0, -2.0), look(3.0))
    assert same(hide(look(1.0, -2.0), "history"), hide(look(3.0), "history"))
    assert same(hide(look(1.0, -2.0), "history"), look())


def test_hidden_beliefs_and_relations_are_gone_and_nothing_else():
    seen = look(1.0)
    believed = replace(seen, options=seen.options + 1.0, log_improvement=seen.log_improvement + 1.0)
    assert not same(hide(believed, "beliefs"), hide(seen, "beliefs"))  # choices and tallies differ still
    assert not hide(seen, "beliefs").log_improvement.any()
    assert torch.equal(hide(seen, "beliefs").options[:, :-4], seen.options[:, :-4])
    assert same(hide(seen, "relations"), replace(seen, relations=0 * seen.relations))
    assert seen.relations.any()


def test_where_nothing_is_picked_each_trial_is_the_networks():
    scene = Scene(root(), (root(),), ALONE_EACH, 20)
    designs = [Design(reranked=False, scripts=False, alone=alone) for alone in (True, False)]
    assert len({PpoPolicy(0, design=design).propose(scene, 3) for design in designs}) == 1
    assert len({PpoPolicy(0, design=Design(alone=alone)).propose(scene, 1) for alone in (True, False)}) == 2


def test_what_no_observation_has_cannot_be_hidden():
    with pytest.raises(
        ValueError, match="hide 'sites': is no part of an observation; write history, beliefs or relations"
    ):
        hide(look(), "sites")


def test_a_flat_network_does_not_listen_to_kinds_and_sites_apart():
    torch.manual_seed(0)
    batch = collate([look(1.0, -2.0)])
    for flat in (True, False):
        network = EditNetwork(1.0, flat=flat)
        before = network.decide(batch)[0]
        torch.nn.init.normal_(network.kind_head.weight)
        torch.nn.init.normal_(network.query.weight)
        assert torch.equal(before, network.decide(batch)[0]) is flat


def test_a_trained_variant_is_played_with_the_network_that_saw_what_it_sees():
    blind = {name for name, variant in VARIANTS.items() if variant.design.hidden or variant.design.flat}
    assert blind <= set(TRAINED)
    assert Design() == VARIANTS["ppo"].design


def test_a_walk_that_reads_sources_pays_for_what_is_novel_and_charges_for_what_grows():
    landscape = generate(read_ground("bytelm"), Family(77, rho=0.4, noise=0.5), 0)
    plain, reads = Walk(landscape, 0, 9), reading("bytelm", Weights())(landscape, 0, 9)
    runs = [
        e for e in landscape.edits if math.isfinite(landscape.value([e])) and landscape.value([e]) != landscape.baseline
    ]
    grown, scaled = (next(e for e in runs if e.kind == kind) for kind in ("insert-norm", "scale-literal"))
    terms = []
    for edit in (grown, scaled):
        before, after = (walk.play(Move(0, (edit,))).reward.terms for walk in (plain, reads))
        assert dict(before)["metric"] == dict(after)["metric"]
        assert dict(before)["novelty"] == dict(before)["complexity"] == 0.0
        terms.append(dict(after))
    assert terms[0]["complexity"] < 0.0 == terms[1]["complexity"]
    assert terms[0]["novelty"] == 0.25 > terms[1]["novelty"] > 0.0


def test_what_crashes_is_not_read():
    landscape = generate(read_ground("bytelm"), Family(77, rho=0.4, noise=0.5, crashes=0.5), 0)
    crash = next(edit for edit in landscape.edits if math.isnan(landscape.value([edit])))
    reads = reading("bytelm", Weights())(landscape, 0, 9)
    assert dict(reads.play(Move(0, (crash,))).reward.terms) == {"failure": -2.0}


def test_what_makes_no_program_is_rewarded_as_if_nothing_were_read():
    landscape = generate(read_ground("bytelm"), Family(77, rho=0.4, noise=0.5, pairs=0.0, crashes=0.0), 0)
    nested = {"insert-scale": "model:GPT.forward/op.add", "scale-output": "model:GPT.forward/call.tok_emb"}
    first = {edit.kind: edit for edit in landscape.edits if nested.get(edit.kind) == edit.site}
    move = Move(0, tuple(first.values()))
    reads = reading("bytelm", Weights())(landscape, 0, 9)
    with pytest.raises(Refused, match="in conflict") as caught:
        reads.code.edited(*move.script)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    assert reads.play(move).reward == Walk(landscape, 0, 9).play(move).reward


def task(*, noise: float = 0.5) -> Task:
    return Task.of(generate(read_ground("bytelm"), Family(77, rho=0.4, noise=noise), 0), seed=0)


def test_a_search_is_worth_its_best_edits_at_different_sites():
    found = task()
    best = np.argsort(-np.nan_to_num(found.gains, nan=-np.inf))
    assert found.worth(range(len(found.rows))) == 1.0
    assert found.worth([]) == found.worth([int(best[-1])]) == 0.0
    assert 0.0 < found.worth(best[:1].tolist()) < found.worth(best[:40].tolist()) <= 1.0


def test_a_kernel_finds_more_than_a_pick_at_random_does():
    tasks = [task(noise=noise) for noise in (0.3, 0.5)]
    assert judge(tasks, Kernel(), 0.85).mean() > judge(tasks, None, 0.0).mean()
