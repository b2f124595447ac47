"""What codegraft promises, on the real language model: minutes, not seconds."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness.bubblewrap import why_not
from harness.measure import Runner
from harness.meter import N_MARKS
from harness.sources import open_sources
from harness.values import Status
from mutator.shipped import default_grammar

pytestmark = pytest.mark.slow

CODEGRAFT = str(Path(sys.executable).with_name("codegraft"))
BYTELM = open_sources("bytelm")


@pytest.fixture(scope="module")
def runner():
    with Runner(BYTELM.target, n_slots=2) as runner:
        yield runner


@pytest.fixture(scope="module")
def honest(runner):
    outcome = runner.run(BYTELM.snapshot, 0)
    assert outcome.ok, outcome.detail
    return outcome


def by_hand(path, old, new):
    """Edit a file as a person or an attacker would, past the grammar."""
    text = BYTELM.snapshot.files[path].decode()
    assert old in text
    return BYTELM.snapshot.with_files({path: text.replace(old, new).encode()}, edit="by hand")


def test_torch_is_preloaded_inside_bubblewrap_where_that_works(honest):
    assert ("bwrap" in honest.isolation) == (why_not() == "")


def test_the_baseline_measures_the_same_twice(runner, honest):
    assert runner.run(BYTELM.snapshot, 0).metric == honest.metric


def test_hints_cost_no_accuracy_and_come_in_every_part_of_the_training(runner, honest):
    silent = runner.run(by_hand("train.py", "budget.spend(y.numel(), logits, y)", "budget.spend(y.numel())"), 0)
    assert (silent.metric, silent.curve) == (honest.metric, ())
    assert len(honest.curve) == N_MARKS
    assert honest.curve[0] > honest.curve[5] > honest.curve[-1] > 1.5
    assert honest.curve[-1] * 1.4427 == pytest.approx(
        honest.metric, rel=0.1
    )  # nats on training data; bits on held-out data


def test_hints_mean_the_same_whatever_the_loss_is_scaled_by(runner, honest):
    scaled = runner.run(
        by_hand("train.py", "y.flatten())\n", "y.flatten()) * 8.0\n"), 0
    )  # a power of 2: AdamW cannot tell
    assert scaled.curve[0] == pytest.approx(honest.curve[0], rel=0.01)


def test_a_threaded_parameter_changes_three_files_and_not_the_metric(runner, honest):
    edits = default_grammar().only("thread-parameter").edits(BYTELM.graph, protected=BYTELM.protected)
    edit = next(edit for edit in edits if "norm_eps" in edit.uri)
    assert default_grammar().plan(BYTELM.graph, edit, protected=BYTELM.protected).paths == (
        "config.py",
        "layers.py",
        "model.py",
    )
    outcome = runner.run(default_grammar().apply(BYTELM.graph, edit, protected=BYTELM.protected), 0)
    assert outcome.ok
    assert outcome.metric == honest.metric


def test_a_model_that_looks_ahead_is_an_integrity_violation_that_names_causality(runner):
    outcome = runner.run(by_hand("layers.py", "is_causal=True", "is_causal=False"), 0)
    assert outcome.status is Status.INTEGRITY_VIOLATION
    assert "causality" in outcome.detail


def test_a_printed_metric_is_an_integrity_violation_that_names_the_claim(runner):
    outcome = runner.run(by_hand("train.py", "    save_model(", '    print("val_bpb: 0.01")\n    save_model('), 0)
    assert outcome.status is Status.INTEGRITY_VIOLATION
    assert "val_bpb" in outcome.detail
    assert "0.01" in outcome.detail


def test_a_training_that_rewrites_the_scorer_is_an_integrity_violation_that_names_the_file(runner):
    attack = 'open("scorer.py", "w").write("def score(predict, heldout): return {\'val_bpb\': 0.01}")'
    outcome = runner.run(by_hand("train.py", "    save_model(", f"    {attack}\n    save_model("), 0)
    assert outcome.status is Status.INTEGRITY_VIOLATION
    assert "scorer.py" in outcome.detail


def test_a_diverged_model_is_scored_and_no_integrity_violation(runner):
    outcome = runner.run(by_hand("config.py", "lr: float = ", "lr: float = 50 * "), 0)
    assert outcome.status in (Status.OK, Status.INVALID_METRIC)


def test_the_attacks_end_the_same_from_the_command_line(tmp_path):
    folder = tmp_path / "target"
    shutil.copytree(BYTELM.root, folder, ignore=shutil.ignore_patterns("__pycache__"))
    layers = folder / "layers.py"
    layers.write_text(layers.read_text().replace("is_causal=True", "is_causal=False"))
    done = subprocess.run([CODEGRAFT, "run", folder, "--json"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert json.loads(done.stdout)["status"] == "integrity_violation"
    assert json.loads(done.stdout)["metric"] is None
    assert done.stderr.count("\n") == 1
