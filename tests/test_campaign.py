"""Whole campaigns on the toy target, through the command line and real processes."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.campaign import Campaign, Session
from harness.course import walk
from harness.ledger import Ledger, read_record
from harness.lines import trial_line
from harness.measure import Runner
from harness.objects import ObjectStore
from harness.record import Settings
from harness.sources import read_target
from harness.values import Decision, Outcome, Reward, Status, Trial, Verdict
from harness.verdict import Incumbent, Noise, judge, most_cost, noise_of
from mutator.edit import parse_edit, print_script
from policy.protocol import Move, PolicyError
from policy.random import RandomPolicy
from targets.manifest import load_target

CODEGRAFT = str(Path(sys.executable).with_name("codegraft"))
UNBUFFERED = {**os.environ, "PYTHONUNBUFFERED": "1"}
TOY = Path(__file__).parent.parent / "targets" / "toy"


def codegraft(*args):
    return subprocess.run([CODEGRAFT, *map(str, args)], capture_output=True, text=True, timeout=300, check=False)


def search(out, *options, target="toy", trials=6):
    return codegraft("search", target, "--policy", "random", "--trials", trials, "--seed", 3, "--out", out, *options)


def facts(folder):
    """What must be equal between two campaigns: everything but times, sizes and log tails."""
    record = read_record(folder)
    trials = [
        (
            t.number,
            t.parent,
            t.script,
            t.commit,
            [(o.status, o.metric, o.seed) for o in t.outcomes],
            t.verdict,
            t.reward,
        )
        for t in record.trials
    ]
    later = [(r.trial, r.incumbent.metric, r.baseline.metric) for r in record.rechecks]
    later += [(f.trial, f.role, f.scoring, f.outcome.seed, f.outcome.metric) for f in record.finals]
    return [(o.seed, o.metric, o.curve) for o in record.baseline], trials, later, record.stop_reason


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """One campaign of the ppo policy that ran through."""
    out = tmp_path_factory.mktemp("campaigns") / "whole"
    done = codegraft("search", "toy", "--policy", "ppo", "--trials", 8, "--seed", 3, "--out", out)
    assert done.returncode == 0, done.stderr
    return out, done.stdout


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    """One campaign of the local policy that ran through."""
    out = tmp_path_factory.mktemp("campaigns") / "local"
    done = codegraft("search", "toy", "--policy", "local", "--trials", 8, "--seed", 3, "--out", out)
    assert done.returncode == 0, done.stderr
    return out


def test_a_search_prints_the_baseline_a_line_per_trial_and_why_it_stopped(finished):
    _, printed = finished
    assert "baseline  val_loss" in printed
    assert sum(line.startswith("trial ") for line in printed.splitlines()) == 8
    assert "stopped   finished: 8 trials" in printed


def test_status_says_where_a_campaign_stands(finished):
    out, _ = finished
    status = json.loads(codegraft("status", out, "--json").stdout)
    assert status["trials"] == 8
    assert set(status["baseline"]) == {"mean", "sd", "n"}
    assert status["baseline"]["n"] == 3
    assert sum(status["verdicts"].values()) == 8
    assert status["stop_reason"] == "finished: 8 trials"
    assert "finished: 8 trials" in codegraft("status", out).stdout


def test_a_report_is_one_file_in_the_campaign(finished):
    out, _ = finished
    done = codegraft("report", out)
    assert str(out / "report.html") in done.stdout
    assert "toy" in (out / "report.html").read_text()


def test_every_trial_is_a_commit_whose_parent_is_the_program_it_edits(finished):
    out, _ = finished
    store = ObjectStore(out)
    for trial in read_record(out).trials:
        shown = subprocess.run(
            ["git", "-C", out / "objects.git", "show", "--stat", "--format=%s", f"refs/trials/{trial.number}"],
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        assert shown.startswith(print_script(trial.script))
        assert store.parent(trial.commit) is not None


def test_every_reward_is_the_sum_of_its_logged_terms_and_a_failure_is_never_zero(finished):
    out, _ = finished
    for trial in read_record(out).trials:
        names = [name for name, _ in trial.reward.terms]
        measured = ["equivalent"] if trial.verdict.gain == 0.0 else ["metric", "novelty"]
        unmeasured = ["stopped", "complexity"] if trial.stopped else ["failure"]
        assert names == ([*measured, "complexity"] if trial.ok else unmeasured)
        assert trial.ok or trial.reward.total <= -1


def test_a_keep_was_confirmed_on_fresh_seeds(finished):
    out, _ = finished
    for trial in read_record(out).trials:
        seeds = [outcome.seed for outcome in trial.outcomes]
        assert len(set(seeds)) == len(seeds)
        assert trial.verdict.decision is not Decision.KEEP or len(seeds) == 3


def test_a_finished_campaign_run_again_adds_nothing(finished):
    out, _ = finished
    before = facts(out)
    assert codegraft("search", "toy", "--policy", "ppo", "--trials", 8, "--seed", 3, "--out", out).returncode == 0
    assert facts(out) == before


def kill_and_resume(whole, out, policy, n_lines):
    """Kill a search after some lines, give the command again, and compare with the one that ran through."""
    command = [CODEGRAFT, "search", "toy", "--policy", policy, "--trials", "8", "--seed", "3", "--out", str(out)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=UNBUFFERED)
    for _ in range(n_lines):
        process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert len(read_record(out).trials) < 8
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert facts(out) == facts(whole)


def test_a_killed_ppo_search_resumes_and_ends_as_the_uninterrupted_one(finished, tmp_path):
    kill_and_resume(finished[0], tmp_path / "killed", "ppo", 8)


@pytest.mark.parametrize("n_lines", [1, 3, 5, 6, 9])
def test_a_search_killed_anywhere_ends_as_the_uninterrupted_one(local, tmp_path, n_lines):
    kill_and_resume(local, tmp_path / "killed", "local", n_lines)


LONG = ["search", "toy", "--policy", "local", "--trials", "24", "--seed", "3", "--window", "3"]


@pytest.fixture(scope="module")
def long(tmp_path_factory):
    """A campaign in which something is kept, stopped, looked at again and evaluated in the end."""
    out = tmp_path_factory.mktemp("campaigns") / "long"
    done = codegraft(*LONG, "--out", out, "--slots", 1)
    assert done.returncode == 0, done.stderr
    return out, done.stdout


@pytest.mark.slow
def test_what_is_kept_is_looked_at_again_and_evaluated_on_seeds_that_selected_nothing(long):
    out, printed = long
    record = read_record(out)
    assert record.kept
    assert any(trial.status is Status.STOPPED for trial in record.trials)
    assert [recheck.trial for recheck in record.rechecks] == [t.number for t in record.kept if t.number <= 20][-1:]
    used = {outcome.seed for trial in record.trials for outcome in trial.outcomes}
    assert used.isdisjoint({final.outcome.seed for final in record.finals} | {record.rechecks[0].incumbent.seed})
    assert {(final.role, final.scoring) for final in record.finals} >= {
        (role, scoring) for role in ("baseline", "incumbent") for scoring in ("search", "final")
    }
    assert "fresh     val_loss" in printed
    assert "test      val_loss" in printed
    status = json.loads(codegraft("status", out, "--json").stdout)
    assert status["final"]["test"]["mean"] > 0
    assert status["early"]["n_stopped"] >= 1


@pytest.mark.slow
def test_a_campaign_killed_again_and_again_on_more_slots_ends_as_the_uninterrupted_one(long, tmp_path):
    out = tmp_path / "killed"
    command = [CODEGRAFT, *LONG, "--out", str(out), "--slots", "2"]
    for n_trials in (0, 4, 15, 18, 21):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        while not (out / "ledger.db").exists() or len(read_record(out).trials) < n_trials:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert len(read_record(out).trials) < 24
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert facts(out) == facts(long[0])


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_search_says_where_it_stands_and_how_to_go_on(tmp_path, sent):
    options = ["--policy", "random", "--trials", "40", "--seed", "3", "--out", str(tmp_path / "c")]
    command = [CODEGRAFT, "search", "toy", *options]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=UNBUFFERED,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a job in the background ignores it
    )  # fmt: skip
    while not process.stdout.readline().startswith("trial 1 "):
        assert process.poll() is None
    process.send_signal(sent)
    printed, complained = process.communicate(timeout=120)
    assert process.returncode == 130
    assert complained.strip() == ""
    assert "stopped   interrupted; the same command goes on" in printed
    assert read_record(tmp_path / "c").stop_reason == "interrupted; the same command goes on"


def test_a_session_ends_early_and_the_next_one_goes_on(finished, tmp_path):
    out = tmp_path / "c"
    options = ["search", "toy", "--policy", "ppo", "--trials", 8, "--seed", 3, "--out", out]
    done = codegraft(*options, "--patience", 2)
    assert done.returncode == 0, done.stderr
    assert "stopped   no improvement: " in done.stdout
    assert 2 <= len(read_record(out).trials) < 8
    assert codegraft(*options, "--hours", 1).returncode == 0
    assert len(read_record(out).trials) == 8


def test_crashes_in_a_row_pause_the_campaign_and_the_same_command_goes_on(tmp_path):
    whole = "b''.join(open(name, 'rb').read() for name in ('config.py', 'model.py', 'optim.py'))"
    unedited = b"".join((TOY / name).read_bytes() for name in ("config.py", "model.py", "optim.py"))
    guard = f"    if len({whole}) != {len(unedited)}:\n        raise SystemExit('edited')\n"
    folder = toy_with(tmp_path, "train.py", "def main() -> None:\n", f"def main() -> None:\n{guard}")
    out = tmp_path / "c"
    done = search(out, "--pause-after", 2, target=folder, trials=12)
    assert done.returncode == 3, done.stderr
    paused = len(read_record(out).trials)
    assert "stopped   paused: 2 trials in a row failed" in done.stdout
    assert paused < 12
    again = search(out, "--pause-after", 0, target=folder, trials=12)
    assert "stopped   finished: 12 trials" in again.stdout
    assert len(read_record(out).trials) == 12


def test_a_campaign_leaves_a_checkpoint_that_the_next_one_starts_from(finished, tmp_path):
    checkpoint = finished[0] / "policy.safetensors"
    options = ["search", "toy", "--trials", 2, "--seed", 3, "--out"]
    for name, start in (("next", ["--checkpoint", checkpoint]), ("fresh", ["--policy", "ppo@"])):
        done = codegraft(*options, tmp_path / name, *start)
        assert done.returncode == 0, done.stderr
    left = [(tmp_path / name / "policy.safetensors").read_bytes() for name in ("next", "fresh")]
    assert left[0] == checkpoint.read_bytes() != left[1]  # a campaign changes no weights
    checkpoint = tmp_path / "noise"
    checkpoint.write_bytes(b"no checkpoint")
    done = codegraft(*options, tmp_path / "none", "--checkpoint", checkpoint)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "noise" in done.stderr


def test_a_seed_gives_the_same_campaign_on_any_number_of_slots(finished, tmp_path):
    for slots in (1, 3):
        out = tmp_path / f"slots{slots}"
        done = codegraft(
            "search",
            "toy",
            "--policy",
            "ppo",
            "--trials",
            8,
            "--seed",
            3,
            "--slots",
            slots,
            "--window",
            3,
            "--out",
            out,
        )
        assert done.returncode == 0, done.stderr
        assert facts(out) == facts(finished[0])


def toy_with(tmp_path, name, old, new):
    folder = tmp_path / "target"
    subprocess.run(["cp", "-r", TOY, folder], check=True)
    text = (folder / name).read_text()
    assert old in text
    (folder / name).write_text(text.replace(old, new))
    return folder


def test_a_failing_baseline_stops_the_campaign_with_what_it_printed(tmp_path):
    folder = toy_with(
        tmp_path, "train.py", "def main() -> None:", "def main() -> None:\n    raise SystemError('no such luck')"
    )
    done = search(tmp_path / "c", target=folder)
    assert done.returncode == 1
    assert "baseline: failed with seed 3" in done.stderr
    assert "no such luck" in done.stderr
    assert "Traceback" not in done.stderr.split("repair the target first")[0]
    assert not read_record(tmp_path / "c").trials
    status = codegraft("status", tmp_path / "c").stdout
    assert "nothing: the baseline failed" in status
    assert "baseline: failed with seed 3" in status
    (folder / "train.py").write_text((TOY / "train.py").read_text())
    assert search(tmp_path / "c", target=folder, trials=1).returncode == 0  # repaired, the same command starts over


def test_a_training_that_never_asks_for_its_budget_has_no_metric(tmp_path):
    folder = toy_with(
        tmp_path, "train.py", "while (progress := budget.progress()) < 1.0:", "for progress in [0.5] * 600:"
    )
    train = folder / "train.py"
    train.write_text(train.read_text().replace("        budget.spend()\n", ""))
    done = codegraft("run", folder)
    assert done.returncode == 1
    assert "never asked for its budget" in done.stderr


def test_a_training_that_ignores_its_seed_is_named(tmp_path):
    folder = toy_with(tmp_path, "train.py", "trial_seed()", "7")
    done = search(tmp_path / "c", target=folder, trials=1)
    assert "on all 3 seeds: no noise is known; does the training read CODEGRAFT_SEED?" in done.stdout


def test_sources_that_changed_under_a_campaign_are_refused(tmp_path):
    folder = toy_with(tmp_path, "config.py", "0.03", "0.03")
    assert search(tmp_path / "c", target=folder, trials=2).returncode == 0
    (folder / "config.py").write_text((folder / "config.py").read_text().replace("0.03", "0.04"))
    done = search(tmp_path / "c", target=folder, trials=2)
    assert done.returncode == 1
    assert (done.stderr.count("\n"), done.stdout) == (1, "")
    assert "have changed since this campaign began" in done.stderr


def test_a_manifest_that_changed_under_a_campaign_is_refused(tmp_path):
    folder = toy_with(tmp_path, "config.py", "0.03", "0.03")
    assert search(tmp_path / "c", target=folder, trials=1).returncode == 0
    manifest = folder / "codegraft.toml"
    manifest.write_text(manifest.read_text().replace("wall_s =", "threads = 2\nwall_s ="))
    done = search(tmp_path / "c", target=folder, trials=1)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "its manifest has changed since this campaign began" in done.stderr


def test_a_campaign_whose_second_replicate_failed_starts_over_once_the_target_is_repaired(tmp_path):
    unlucky = "def main() -> None:\n    if trial_seed() == 4:\n        raise SystemExit('no luck')"
    folder = toy_with(tmp_path, "train.py", "def main() -> None:", unlucky)
    assert search(tmp_path / "c", target=folder, trials=1).returncode == 1
    (folder / "train.py").write_text((TOY / "train.py").read_text())
    done = search(tmp_path / "c", target=folder, trials=1)
    assert done.returncode == 0, done.stderr
    assert [outcome.ok for outcome in read_record(tmp_path / "c").baseline] == [True] * 3


def test_other_options_for_the_same_folder_are_refused_in_one_line(finished):
    out, _ = finished
    done = codegraft("search", "toy", "--policy", "ppo", "--trials", 9, "--seed", 3, "--out", out)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "trials 8, not 9" in done.stderr


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["frobnicate"], "No such command 'frobnicate'"),
        (["search", "toy"], "Missing option '--out'"),
        (["search", "toy", "--out", "{tmp}/c", "--policy", "dqn"], "policy 'dqn': is not known; write one of"),
        (["search", "toy", "--out", "{tmp}/c", "--policy", "local", "--checkpoint", "{tmp}/p"], "local has no weights"),
        (["search", "toy", "--out", "{tmp}/c", "--policy", "random", "--stopping", "trend"], "rule 'trend': is not known"),
        (["search", "toy", "--out", "{tmp}/c", "--gpus", "0,banana"], "--gpus: is '0,banana'; write CUDA's numbers"),
        (["search", "toy", "--out", "{tmp}/c", "--seed", "-1"], "Invalid value for '--seed'"),
        (["search", "nowhere", "--out", "{tmp}/c"], "nowhere: is no folder"),
        (["search", "{tmp}", "--out", "{tmp}/c"], "has no codegraft.toml; write one"),
        (["apply", "toy", "scale@nothing"], "is no edit kind"),
        (["apply", "toy", "scale-literal@config:Config/literal.nothing?by=2.0"], "is not in the sources"),
        (["apply", "toy", "no edit at all"], "is no edit"),
        (["edits", "{tmp}"], "holds no Python file"),
        (["kinds", "swap-norms"], "is no edit kind; did you mean swap-norm"),
        (["status", "{tmp}"], "ledger.db"),
        (["report", "{tmp}/nothing"], "ledger.db"),
    ],
)  # fmt: skip
def test_wrong_use_is_one_line_and_no_traceback(tmp_path, args, says):
    done = codegraft(*(arg.format(tmp=tmp_path) for arg in args))
    assert done.returncode == (1 if args[0] in ("status", "report") else 2)
    assert says in done.stderr
    assert done.stderr.count("\n") == 1
    assert not done.stdout


def test_a_run_prints_the_metric_and_an_edited_one_another(tmp_path):
    plain, edited = (
        json.loads(codegraft("run", "toy", *edits, "--json").stdout)
        for edits in ([], ["scale-literal@config:Config/literal.lr?by=0.25"])
    )
    assert plain["status"] == edited["status"] == "ok"
    assert plain["metric"] != edited["metric"]


def test_a_second_search_on_a_running_campaign_is_refused(tmp_path):
    settings = Settings(str(TOY), "digest", "toy", "val_loss", "minimize", "random", 3, 6, 3, 3)
    with Ledger.create(tmp_path / "c", settings):
        done = search(tmp_path / "c")
    assert done.returncode == 1
    assert "another process runs this campaign" in done.stderr


def test_apply_prints_the_diff_and_writes_only_when_told(tmp_path):
    folder = toy_with(tmp_path, "config.py", "0.03", "0.03")
    before = (folder / "config.py").read_bytes()
    edit = "scale-literal@config:Config/literal.lr?by=2.0"
    diff = codegraft("apply", folder, edit).stdout
    assert "+    lr: float = 0.06" in diff
    assert (folder / "config.py").read_bytes() == before
    assert codegraft("apply", folder, edit, "--write").stdout == diff
    assert b"lr: float = 0.06" in (folder / "config.py").read_bytes()
    subprocess.run(["git", "apply", "-R", "-"], cwd=folder, input=diff.encode(), check=True)
    assert (folder / "config.py").read_bytes() == before


def test_help_imports_nothing_heavy():
    done = subprocess.run(
        [sys.executable, "-X", "importtime", CODEGRAFT, "--help"], capture_output=True, text=True, check=True
    )
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert not imported & {"torch", "transformers", "numpy", "pydantic", "tree_sitter", "jinja2", "sqlite3"}


def test_the_live_line_of_a_trial_has_its_verdict_metric_change_and_edit(finished):
    _, printed = finished
    line = next(line for line in printed.splitlines() if line.startswith("trial ") and " sd)" in line)
    head, measured, uri = line.split("  ")[0], line.split("  ")[2], line.split("  ")[3]
    assert head.split()[1].isdigit()
    assert measured.startswith("val_loss ")
    assert "@" in uri


def test_what_a_campaign_found_is_a_diff_that_git_applies(local, tmp_path):
    program = next(trial for trial in read_record(local).trials if trial.ok)
    diff = codegraft("patch", f"{local}@{program.number}").stdout
    folder = toy_with(tmp_path, "config.py", "0.03", "0.03")
    subprocess.run(["git", "apply", "-"], cwd=folder, input=diff.encode(), check=True)
    files = ObjectStore(local).files(program.commit)
    assert all((folder / path).read_bytes() == data for path, data in files.items())
    assert codegraft("patch", f"{local}@best").returncode == codegraft("patch", local).returncode == 0
    assert "is no trial of the campaign" in codegraft("patch", f"{local}@99").stderr


def test_patch_of_a_campaign_that_kept_nothing_says_so(tmp_path):
    assert search(tmp_path / "c", trials=1).returncode == 0
    assert not read_record(tmp_path / "c").kept
    done = codegraft("patch", tmp_path / "c")
    assert (done.returncode, done.stdout) == (0, "")
    assert "is the unedited program; nothing was kept" in done.stderr


class Stubborn(RandomPolicy):
    """Proposes what is no edit of the scene."""

    def propose(self, scene, n):
        return (Move(0, (parse_edit("scale-literal@config:Config/literal.nothing?by=2.0"),)),)


def test_a_policy_that_proposes_what_is_not_offered_is_refused_by_name(tmp_path):
    target = load_target(TOY)
    where = (str(TOY), read_target(target).digest, target.name, target.metric, target.direction)
    with Ledger.create(tmp_path / "c", Settings(*where, "stubborn", 3, 2, 3, 2)) as ledger, Runner(target) as runner:
        campaign = Campaign(target, ledger, ObjectStore(tmp_path / "c"), Session(tmp_path / "c", lambda line: None))
        with pytest.raises(PolicyError, match=r"policy stubborn: proposed scale-literal@.* for trial 1"):
            campaign.run(runner, Stubborn(0))


def test_a_scene_says_what_a_program_may_cost_in_the_campaign_and_in_its_replay(finished, tmp_path):
    class Looker(RandomPolicy):
        def propose(self, scene, n):
            seen.append(scene.most_cost)
            return ()

    seen, target = [], load_target(TOY)
    where = (str(TOY), read_target(target).digest, target.name, target.metric, target.direction)
    with Ledger.create(tmp_path / "c", Settings(*where, "looker", 3, 2, 3, 2)) as ledger, Runner(target) as runner:
        campaign = Campaign(target, ledger, ObjectStore(tmp_path / "c"), Session(tmp_path / "c", lambda line: None))
        record = campaign.run(runner, Looker(0))
    assert seen == [most_cost(noise_of(record.baseline), target.limits)]
    assert 1.0 < seen[0] < math.inf
    again = read_record(finished[0])
    course = walk(finished[0], again)
    assert {scene.most_cost for scene in course.scenes} == {most_cost(noise_of(again.baseline), target.limits)}


def test_the_line_of_a_trial_without_a_metric_says_why_and_on_what_it_was_made():
    edit = parse_edit("scale-literal@config:Config/literal.lr?by=2.0#3f9a2c81")
    lost = Verdict(Decision.DISCARD, math.nan, math.nan, math.nan, "")
    stopped = (Outcome(Status.STOPPED, detail="hint 3.1 at 60 % of the budget is behind 2.2"),)
    trial = Trial(7, 4, (edit, edit), "s", "c", stopped, lost, Reward(()))
    settings = Settings(str(TOY), "digest", "toy", "val_loss", "minimize", "random", 3, 6, 3, 3)
    line = trial_line(trial, settings, Noise(1.0, 0.1, 3), incumbent=5)
    why = "hint 3.1 at 60 % of the budget is behind 2.2"
    address = "scale-literal@config:Config/literal.lr?by=2.0"
    assert line == f"trial 7  stopped  {why}  {address} + {address}  on trial 4"
    assert not trial_line(trial, settings, Noise(1.0, 0.1, 3), incumbent=4).endswith("trial 4")


def test_the_line_of_a_trial_that_is_better_and_not_kept_says_why():
    edit = parse_edit("scale-literal@config:Config/literal.lr?by=2.0#3f9a2c81")
    incumbent = Incumbent(((0, 1.0), (1, 1.0), (2, 1.0)))
    outcomes = tuple(Outcome(Status.OK, 0.8 + seed / 1000, seed, cpu_s=9.9) for seed in range(3))
    verdict = judge(outcomes, incumbent, Noise(1.0, 0.1, 3, cpu_s=3.0), sign=-1.0)
    settings = Settings(str(TOY), "digest", "toy", "val_loss", "minimize", "random", 3, 6, 3, 3)
    trial = Trial(7, 0, (edit,), "s", "c", outcomes, verdict, Reward(()))
    line = trial_line(trial, settings, Noise(1.0, 0.1, 3), incumbent=0)
    assert line.startswith("trial 7  not proven  val_loss 0.801 (-0.2, 2.0 sd, z ")
    assert ")  better, but at 3.3 times the CPU time of the baseline  scale-literal@" in line
