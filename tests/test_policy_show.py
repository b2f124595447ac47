"""`codegraft policy show` on a real campaign of the toy target: what it tells is what happened, and what it exports is a manifest's."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections import Counter
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

import pytest
import torch
from click.testing import CliRunner

from harness.cli import commands
from harness.course import walk
from harness.ledger import Ledger, read_record
from harness.wishes import priors_of
from mutator.edit import Edit, print_script
from mutator.shipped import default_grammar
from policy.explain import LEAST_WEIGHT, MOST_WEIGHT, Finding, explain, sum_up, weigh_kinds
from policy.network import collate
from policy.ppo import PpoPolicy
from targets.manifest import load_target
from tests.campaigns import SETTINGS, Fabrication, write_rich

if TYPE_CHECKING:
    from click.testing import Result

    from harness.record import Proposal

CODEGRAFT = str(Path(sys.executable).with_name("codegraft"))
TOY = Path(__file__).parent.parent / "targets" / "toy"
N_TRIALS = 8

torch.set_num_threads(1)  # sums depend on it


def show(*args: object) -> Result:
    return CliRunner().invoke(commands, ["policy", "show", *map(str, args)])


def parsed(lines: str) -> list[dict]:
    return [json.loads(line) for line in lines.splitlines()]


@pytest.fixture(scope="module")
def campaign(tmp_path_factory):
    """A campaign of ppo from a checkpoint, on a target that is a copy."""
    folder = tmp_path_factory.mktemp("shown")
    shutil.copytree(TOY, folder / "toy")
    PpoPolicy(9).save(folder / "begin.safetensors")
    options = ["--policy", "ppo@", "--checkpoint", folder / "begin.safetensors", "--trials", N_TRIALS, "--seed", 3]
    command = [CODEGRAFT, "search", folder / "toy", *options, "--out", folder / "c"]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "c"


@pytest.fixture(scope="module")
def shown(campaign):
    done = show(campaign, "--json")
    assert (done.exit_code, done.stderr) == (0, "")
    return parsed(done.stdout)


@pytest.fixture(scope="module")
def taught(campaign):
    """The policy after all trials, made by hand, and the course that it walked."""
    record = read_record(campaign)
    course, policy = walk(campaign, record), PpoPolicy(record.settings.seed)
    policy.load(Path(record.settings.checkpoint))
    policy.recover(course.scenes, record.trials)
    return policy, course


def test_the_move_that_is_marked_is_the_ledgers(campaign, shown):
    proposals = read_record(campaign).proposals
    assert [told["trial"] for told in shown] == [proposal.number for proposal in proposals]
    for told, proposal in zip(shown, proposals, strict=True):
        marked = [(option["parent"], option["edit"]) for option in told["options"] if option["made"]]
        assert marked == [(proposal.parent, proposal.script[0].uri)]
        assert told["made"] == {"parent": proposal.parent, "script": print_script(proposal.script)}


def test_the_policy_made_again_proposes_what_the_ledger_says(shown):
    assert all(told["agrees"] for told in shown)


def test_the_options_are_the_most_probable_ones_and_the_one_that_was_made(shown):
    for told in shown:
        probabilities = [option["probability"] for option in told["options"]]
        assert probabilities == sorted(probabilities, reverse=True)
        assert 0 < sum(probabilities) <= 1 + 1e-6
        assert [option["rank"] for option in told["options"]][:5] == [1, 2, 3, 4, 5]
        assert len(told["options"]) == 5 + all(option["rank"] > 5 for option in told["options"] if option["made"])


def test_what_a_trial_earned_is_its_reward(campaign, shown):
    assert [told["earned"] for told in shown] == [trial.reward_total for trial in read_record(campaign).trials]


def test_only_trials_that_were_known_are_looked_at(shown):
    for told in shown:
        shares = {each["trial"]: each["share"] for each in told["attention"]}
        assert shares.keys() == {*range(1, told["known"] + 1)}
        assert all(share > 0 for share in shares.values())
        assert sum(shares.values()) < 1


def test_one_trial_is_told_as_it_is_among_all(campaign, shown):
    assert parsed(show(f"{campaign}@6", "--json").stdout) == [shown[5]]


def test_a_person_reads_the_same(campaign, shown):
    lines = show(f"{campaign}@7").stdout.splitlines()
    told = shown[6]
    assert lines[0] == f"trial 7  {told['n_options']} options after {told['known']} trials"
    marked = [line for line in lines if line.startswith("*")]
    option = next(option for option in told["options"] if option["made"])
    assert [line.split()[1:3] for line in marked] == [[str(option["rank"]), f"{option['probability']:.1%}"]]
    assert option["edit"].partition("#")[0] in marked[0]
    assert f"earned {told['earned']:+.2f}" in lines[-2]


def test_the_probabilities_of_all_options_sum_to_one_and_a_move_that_was_no_option_has_no_rank(campaign):
    record = read_record(campaign)
    scene = walk(campaign, record).scenes[0]
    decision = explain(PpoPolicy(0), scene)
    assert sum(option.probability for option in decision.options) == pytest.approx(1.0, abs=1e-5)
    assert decision.rank(decision.options[3].move) == 4
    assert decision.rank(replace(decision.options[3].move, parent=77)) is None


def test_the_attention_that_is_told_is_that_of_the_encoder(taught):
    policy, course = taught
    batch = collate([policy.look(course.scenes[number]).observation for number in (0, -1)])
    encoder = deepcopy(policy.network.encoder)
    encoder.set_attn_implementation("eager")
    with torch.no_grad():
        told = policy.network.attend(batch)
        expected = encoder(**policy.network._embed(batch), output_attentions=True).attentions[-1][:, :, 0].mean(1)
    assert torch.allclose(told, expected, atol=1e-6)
    assert torch.allclose(told.sum(-1), torch.ones(2))
    assert (told[~batch.is_token] == 0).all()


def test_the_share_of_a_trial_is_that_of_the_tokens_of_its_edits(campaign, taught):
    policy, course = taught
    decision = explain(policy, course.scenes[-1])
    with torch.no_grad():
        weights = policy.network.attend(collate([policy.shown(N_TRIALS).observation]))[0].tolist()
    edited = [trial.number for trial in read_record(campaign).trials for _ in trial.script]
    shares = Counter()
    for number, weight in zip(reversed(edited), weights[-len(edited) :], strict=True):  # the newest are first
        shares[number] += weight
    assert decision.attention == tuple(sorted(shares.items(), key=lambda pair: -pair[1]))
    assert decision.n_tokens == len(weights)


def test_showing_a_campaign_writes_nothing_into_it(campaign, shown):
    before = {path: path.stat().st_mtime_ns for path in campaign.rglob("*") if "ledger.db-" not in path.name}
    show(campaign)
    assert {path: path.stat().st_mtime_ns for path in campaign.rglob("*") if "ledger.db-" not in path.name} == before


@pytest.mark.parametrize("by", ["kind", "site"])
def test_a_table_counts_what_the_ledger_says(campaign, by):
    rows = {row[by]: row for row in parsed(show(campaign, f"--{by}s", "--json").stdout)}
    trials = read_record(campaign).trials
    found = Counter(getattr(edit, by) for trial in trials for edit in trial.script)
    assert {name: row["n"] for name, row in rows.items()} == found
    for name, row in rows.items():
        own = [trial for trial in trials for edit in trial.script if getattr(edit, by) == name]
        assert (row["ok"], row["kept"]) == (sum(t.ok for t in own), sum(t.kept for t in own))
        assert row["reward"] == pytest.approx(fmean(t.reward_total for t in own))


def test_tables_of_kinds_and_sites_are_printed_one_below_the_other(campaign):
    lines = show(campaign, "--kinds", "--sites").stdout.splitlines()
    heads = [line.split() for line in lines if line.startswith(("kind ", "site "))]
    assert heads == [[by, "n", "ok", "kept", "reward", "effect"] for by in ("kind", "site")]


def test_an_exported_prior_is_what_the_next_campaign_prefers(campaign, taught, tmp_path):
    policy, course = taught
    done = show(campaign, "--export-prior")
    assert done.exit_code == 0
    shutil.copytree(TOY, tmp_path / "toy")
    with (tmp_path / "toy" / "codegraft.toml").open("a") as manifest:
        manifest.write(f"\n{done.stdout}")
    target = load_target(tmp_path / "toy")
    weights = weigh_kinds(sum_up(policy.insight, course.incumbent, [*course.incumbent.listed], lambda edit: edit.kind))
    assert target.search.prefer == pytest.approx(weights, abs=0.006)
    assert len({*target.search.prefer.values()}) > 1
    known = default_grammar().priors
    assert priors_of(target) == known | {
        kind: known.get(kind, 1.0) * weight for kind, weight in target.search.prefer.items()
    }


def test_a_kind_that_gained_is_preferred_to_one_that_lost_and_neither_without_bounds():
    weights = weigh_kinds({"better": Finding(2, 0.0, 0.5), "worse": Finding(2, 0.0, -0.5)})
    assert weights["better"] > 1 > weights["worse"]
    bounded = weigh_kinds(
        {"best": Finding(1, 0.0, 9.0), "as-all": Finding(1, 0.0, 0.0), "worst": Finding(1, 0.0, -9.0)}
    )
    assert list(bounded.values()) == pytest.approx([MOST_WEIGHT, 1.0, LEAST_WEIGHT])
    assert weigh_kinds({}) == {}


def test_before_any_trial_all_kinds_are_preferred_alike(campaign):
    scene = walk(campaign, read_record(campaign)).scenes[0]
    policy = PpoPolicy(0)
    policy.look(scene)
    weights = weigh_kinds(sum_up(policy.insight, scene.incumbent, scene.edits, lambda edit: edit.kind))
    assert len(weights) > 3
    assert {*weights.values()} == {1.0}


def test_another_checkpoint_in_the_place_of_the_first_is_noticed(campaign):
    checkpoint = Path(read_record(campaign).settings.checkpoint)
    first = checkpoint.read_bytes()
    try:
        PpoPolicy(10).save(checkpoint)
        done = show(campaign, "--json")
    finally:
        checkpoint.write_bytes(first)
    assert done.exit_code == 0
    others = [told["trial"] for told in parsed(done.stdout) if not told["agrees"]]
    assert others
    assert done.stderr.count("\n") == 1
    assert f"{', '.join(map(str, others))}: the policy, made again, proposes another move" in done.stderr


def test_a_manifest_that_changed_since_is_said(campaign):
    manifest = campaign.parent / "toy" / "codegraft.toml"
    text = manifest.read_text()
    try:
        manifest.write_text(f'{text}\n[search]\nprefer = {{ "scale-literal" = 2.0 }}\n')
        done = show(f"{campaign}@1")
    finally:
        manifest.write_text(text)
    assert done.exit_code == 0
    assert done.stderr.splitlines()[0].endswith("its manifest has changed since; edits and priors are those of now")


def begun(campaign: Path, folder: Path, *proposals: Proposal) -> Path:
    """Write a campaign that began like another one and has proposals that are not judged."""
    record = read_record(campaign)
    shutil.copytree(campaign / "objects.git", folder / "objects.git")
    with Ledger.create(folder, record.settings) as ledger:
        for index, outcome in enumerate(record.baseline):
            ledger.add_baseline(index, outcome)
        for proposal in proposals:
            ledger.add_proposal(replace(proposal, outcomes=()))
    return folder


def test_trials_that_are_under_way_are_told_without_what_they_earned(campaign, shown, tmp_path):
    proposals = read_record(campaign).proposals[:3]
    assert {proposal.known for proposal in proposals} == {0}
    folder = begun(campaign, tmp_path, *proposals)
    assert parsed(show(folder, "--json").stdout) == [{**told, "earned": None} for told in shown[:3]]
    assert "not judged yet" in show(f"{folder}@2").stdout


def test_a_script_is_told_whole_beside_the_option_that_it_begins_with(campaign, tmp_path):
    record = read_record(campaign)
    first, *_, last = walk(campaign, record).scenes[0].edits
    folder = begun(campaign, tmp_path, replace(record.proposals[0], script=(first, last)))
    done = show(folder)
    marked = [line for line in done.stdout.splitlines() if line.startswith("*")]
    assert [line.split()[-1] for line in marked] == [first.address]
    assert f"  made   {first.address} + {last.address}\n" in done.stdout
    assert "trial 1: the policy, made again, proposes another move" in done.stderr


def test_a_move_that_was_no_option_is_told_and_not_marked(campaign, tmp_path):
    record = read_record(campaign)
    edit = Edit("scale-literal", "config:Config/literal.nowhere", (("by", 2.0),))
    folder = begun(campaign, tmp_path, replace(record.proposals[0], script=(edit,)))
    lines = show(folder).stdout.splitlines()
    assert not any(line.startswith("*") for line in lines)
    assert f"  made   {edit.address}" in lines


def refusal(*args: object) -> str:
    """Return the one line that a command ends with."""
    done = subprocess.run([CODEGRAFT, "policy", "show", *map(str, args)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    return done.stderr


def test_a_campaign_of_another_policy_is_refused_in_one_line(tmp_path):
    write_rich(tmp_path, n_trials=3, settings=replace(SETTINGS, policy="local"))
    assert "is a campaign of policy local; only ppo can be shown" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["{}@9"], "trial 9 was never proposed; the campaign has 8"),
        (["{}@best"], "'best' is no trial; write a number"),
        (["{}@2", "--kinds"], "are about all trials; leave @2 out"),
        (["{}", "--export-prior", "--json"], "prints a table of TOML alone"),
    ],
)
def test_what_cannot_be_shown_is_refused_in_one_line(campaign, args, said):
    assert said in refusal(*(each.format(campaign) for each in args))


def test_a_campaign_without_a_trial_is_refused(tmp_path):
    Fabrication(tmp_path).finish("interrupted")
    done = show(tmp_path)
    assert done.exit_code == 1
    assert "has no trial yet; let it run" in done.stderr
