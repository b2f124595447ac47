"""Pre-training: what other tasks promise, what hindsight teaches, and that a plan is all that it depends on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from harness.cli.pretrain import pretrain as command
from harness.landscape.ground import read_ground
from harness.landscape.store import find_landscape, read_landscape
from harness.landscape.synthetic import Family, generate
from harness.pretrain import Plan, pretrain, schooling_of
from policy.effects import bend
from policy.make import make_policy
from policy.school import Lesson, imitate, imitation_loss, weigh
from policy.traits import describe
from tests.test_policy_learn import MANY, look, network, probabilities  # noqa: F401 - a fixture

TINY = Plan(n_walks=2, n_trials=4, n_epochs=1, n_rounds=1, n_practised=1)


def agreement(known: int, task: int) -> float:
    """How well what a family's other tasks promise agrees with the effects of one of its tasks."""
    ground = read_ground("bytelm")
    found = generate(ground, Family(31, rho=0.7), task)
    live = np.flatnonzero(~ground.inert)
    promise = schooling_of(known).prior.promise(describe(ground.graph, [ground.edits[row] for row in live]))[0]
    return float(np.corrcoef(promise, [bend(gain) for gain in found.effects[live] / found.sd])[0, 1])


def test_a_family_promises_what_its_tasks_share_and_another_family_does_not():
    assert agreement(31, 7) > 0.3 > agreement(32, 7) + 0.15


def test_a_landscape_promises_for_its_own_target_what_was_measured_there():
    table, _ = read_landscape(find_landscape("tabular"))
    prior, ground = schooling_of(("tabular",)).prior, read_ground("tabular")
    assert len(prior.points) == (~ground.inert).sum()
    singles = {row.script[0]: row.metric for row in table.rows if len(row.script) == 1 and row.seed == 0 and row.ok}
    edits = [edit for edit in ground.edits if edit.address in singles]
    gains = [-singles[edit.address] for edit in edits]
    ranks = [np.argsort(np.argsort(each)) for each in (prior.promise(describe(ground.graph, edits))[0], gains)]
    assert np.corrcoef(*ranks)[0, 1] > 0.4


def test_what_hindsight_says_counts_gains_by_their_squares_and_losses_not_at_all():
    assert weigh([1.0, -5.0, 2.0, float("nan"), -np.inf]).tolist() == pytest.approx([0.2, 0.0, 0.8, 0.0, 0.0])
    assert weigh([-1.0, 0.0, -np.inf]) is None


def test_the_network_learns_to_propose_what_hindsight_says(network):  # noqa: F811
    observation = look(MANY)
    worth = torch.zeros(len(MANY))
    worth[4] = 1.0
    lessons, said = [Lesson(observation, worth)] * 16, []
    before, loss = probabilities(network, observation)[4], imitation_loss(network, lessons).item()
    imitate(network, lessons, n_epochs=100, seed=0, announce=said.append)
    assert probabilities(network, observation)[4] > before + 0.2
    assert imitation_loss(network, lessons).item() < loss
    assert said[-1].startswith("imitation  epoch 100/100  cross-entropy")


@pytest.mark.slow
def test_equal_plans_make_equal_checkpoints_and_other_seeds_others(tmp_path):
    made = {}
    for name, seed in (("one", 0), ("same", 0), ("other", 1)):
        pretrain(replace(TINY, seed=seed), lambda _: None).save(tmp_path / name)
        made[name] = (tmp_path / name).read_bytes()
    assert made["one"] == made["same"] != made["other"]


def test_a_checkpoint_goes_on_from_another_with_what_it_may_know(tmp_path):
    first, second = tmp_path / "first.safetensors", tmp_path / "second.safetensors"
    short = ["--walks", "0", "--rounds", "0"]
    for arguments in (["--out", str(first)], ["--start", str(first), "--landscape", "tabular", "--out", str(second)]):
        done = CliRunner().invoke(command, [*short, *arguments])
        assert done.exit_code == 0, done.output
    assert "MB; codegraft search TARGET --checkpoint" in done.output
    one, other = (make_policy(f"ppo@{path}", 0) for path in (first, second))
    assert all(torch.equal(a, b) for a, b in zip(one.network.parameters(), other.network.parameters(), strict=True))
    assert (one.schooling.prior, other.schooling.prior is None) == (None, False)
    assert '"tabular.parquet"' in other.schooling.recipe
    assert '"first.safetensors"' in other.schooling.recipe
    assert (
        str(tmp_path) not in other.schooling.recipe
    )  # a checkpoint is passed on; its maker's folders are nobody's business


def test_a_landscape_that_is_not_there_is_refused_in_one_line(tmp_path):
    done = CliRunner().invoke(
        command, ["--walks", "0", "--rounds", "0", "--landscape", "nowhere", "--out", str(tmp_path / "x")]
    )
    assert done.exit_code != 0
    assert done.output.startswith("Error: nowhere: is no file")
    assert not (tmp_path / "x").exists()


def test_a_checkpoint_that_no_folder_is_there_for_is_refused_before_anything_is_learned(tmp_path):
    out = tmp_path / "none" / "policy.safetensors"
    done = CliRunner().invoke(command, ["--out", str(out)])
    assert (done.exit_code, done.output) == (2, f"Error: --out {out}: there is no folder {out.parent}; make it first\n")
