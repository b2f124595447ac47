"""The tiers: what a target needs for each, and that a metric that nobody measured says so wherever it is shown."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from graph.snapshot import read_snapshot
from harness.claims import reported_metric
from harness.lines import outcome_line
from harness.measure import Runner
from harness.sources import open_sources
from harness.values import Outcome, Scoring, Status, TrialError
from targets.manifest import TargetError, Tier, load_target

if TYPE_CHECKING:
    from collections.abc import Iterator

    from graph.snapshot import Snapshot
    from targets.manifest import Target

TOY = open_sources("toy")
CODEGRAFT = str(Path(sys.executable).with_name("codegraft"))
PRINTING = """
name = "printing"
mutable = ["train.py"]
train = "train.py"
tier = "self-reported"
metric = "val_loss"
direction = "minimize"
plausible = [0.0, inf]

[budget]
unit = "steps"
amount = 5

[limits]
wall_s = 3
"""
TRAIN = "loss = 0.75\nprint('val_loss: 1.5')\nprint(f'val_loss: {loss}')\n"


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def printing(tmp_path_factory: pytest.TempPathFactory) -> Target:
    folder = tmp_path_factory.mktemp("printing")
    (folder / "train.py").write_text(TRAIN)
    (folder / "codegraft.toml").write_text(PRINTING)
    return load_target(folder)


@pytest.fixture(scope="module")
def runner(printing: Target) -> Iterator[Runner]:
    with Runner(printing, launch="exec", allow_self_reported=True) as runner:
        yield runner


def training(target: Target, source: str) -> Snapshot:
    snapshot = read_snapshot(target.root_dir, target.mutable, frozen=target.frozen)
    return snapshot.with_files({"train.py": source.encode()}, edit="test")


# --- self-reported


def test_a_self_reported_target_is_not_run_unless_that_is_allowed(printing: Target) -> None:
    with pytest.raises(TrialError, match=r"the metric is what the training prints, .* --allow-self-reported$"):
        Runner(printing)


def test_the_last_printed_metric_counts_and_is_marked(printing: Target, runner: Runner) -> None:
    outcome = runner.run(training(printing, TRAIN), 1)
    assert (outcome.status, outcome.metric, outcome.tier) == (Status.OK, 0.75, Tier.SELF_REPORTED), outcome
    assert outcome.steps == 0  # it never asked for its budget
    assert "val_loss 0.75 (self-reported, not measured)" in outcome_line("val_loss", outcome)
    assert "self-reported" not in outcome_line("val_loss", Outcome(Status.OK, 0.75))


@pytest.mark.parametrize(
    ("source", "status", "said"),
    [
        (TRAIN + "print('val_loss: nan')", Status.INVALID_METRIC, "val_loss is nan"),
        (TRAIN + "print('val_loss = -inf')", Status.INVALID_METRIC, "val_loss is -inf"),
        (TRAIN + "print('val_loss: -1e-9')", Status.INVALID_METRIC, "the manifest calls 0 to inf plausible"),
        (TRAIN + "print('val_loss: good')", Status.INVALID_METRIC, "'good' for val_loss, which is no number"),
        ("print('loss: 1')", Status.INVALID_METRIC, "printed no line that matches"),
        ("print('best_val_loss: 1')", Status.INVALID_METRIC, "printed no line that matches"),
        (TRAIN + "raise SystemExit(3)", Status.FAILED, "exit status 3"),
        (TRAIN + "import time; time.sleep(60)", Status.TIMEOUT, "longer than 3 s"),
    ],
)
def test_a_training_that_reports_no_number_has_none(
    printing: Target, runner: Runner, source: str, status: Status, said: str
) -> None:
    outcome = runner.run(training(printing, source), 1)
    assert outcome.status is status, outcome
    assert said in outcome.detail
    assert math.isnan(outcome.metric)


def test_a_pattern_says_where_the_metric_stands(printing: Target) -> None:
    target = printing.model_copy(update={"pattern": r"loss=(\S+) on valid"})
    assert reported_metric("loss=2 on train\nloss=3 on valid\n", target) == (3.0, "")


def test_nothing_of_a_self_reported_target_is_tried_or_tested_at_the_end(printing: Target, runner: Runner) -> None:
    found = runner.smoke(training(printing, "1 / 0"), 1)
    assert (found.outcome.ok, found.fingerprint) == (True, "")
    assert "not tried" in found.outcome.detail
    with pytest.raises(TrialError, match="has no final test"):
        runner.run(training(printing, TRAIN), 1, scoring=Scoring.FINAL)


def test_the_command_line_wants_to_be_told_and_marks_what_it_prints(printing: Target) -> None:
    refused = subprocess.run([CODEGRAFT, "run", printing.folder], capture_output=True, text=True, check=False)
    assert refused.returncode != 0
    assert "--allow-self-reported" in refused.stderr
    assert refused.stderr.count("\n") == 1
    command = [CODEGRAFT, "run", printing.folder, "--allow-self-reported", "--launch", "exec"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("val_loss 0.75 (self-reported, not measured)  seed 0")
    told = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True)
    assert json.loads(told.stdout)["tier"] == "self-reported"


# --- exported

EXPORTING = """
import os
from pathlib import Path
import numpy as np
import torch
from prepare import Budget, checkpoint_path, load_train, trial_seed

class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Linear(3, 16), torch.nn.Tanh(), torch.nn.Linear(16, 1))

    def forward(self, x):
        return self.layers(x.float())[:, 0]

torch.manual_seed(trial_seed())
inputs, outputs = (torch.from_numpy(array).float() for array in load_train())
model, budget = Model(), Budget()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
while budget.progress() < 1.0:
    loss = torch.nn.functional.mse_loss(model(inputs), outputs)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    budget.spend()
rows = torch.export.Dim("rows", min=1, max=4096)
graph = torch.export.export(model.eval(), (inputs[:4].double(),), dynamic_shapes=({0: rows},))
torch.export.save(graph, checkpoint_path().with_suffix(".pt2"))
"""
BOMB = """
import pickle, zipfile

class Bomb:
    def __reduce__(self):
        return os.system, ("touch MARK",)

path = checkpoint_path().with_suffix(".pt2")
with zipfile.ZipFile(path) as whole:
    members = {name: whole.read(name) for name in whole.namelist()}
members.update(CRAFTED)
with zipfile.ZipFile(path, "w") as crafted:
    for name, data in members.items():
        crafted.writestr(name, data)
"""
SAMPLE = "{'model/data/sample_inputs/model.pt': pickle.dumps(Bomb())}"
ATTACKS = {  # what is put into the archive: how it ends
    SAMPLE: (Status.FAILED, "scoring: exit status 1"),
    "{'model/data/constants/opaque_obj_0': pickle.dumps(Bomb())}": (Status.INVALID_METRIC, "is none that torch.export.save"),
    "{'model/models/../../../../escaped': b'x'}": (Status.INVALID_METRIC, "is none that torch.export.save"),
    "{'/tmp/escaped': b'x'}": (Status.INVALID_METRIC, "is none that torch.export.save"),
}  # fmt: skip


@pytest.fixture(scope="module")
def exporting(tmp_path_factory: pytest.TempPathFactory) -> Target:
    folder = tmp_path_factory.mktemp("exporting")
    for path in ("prepare.py", "scorer.py"):
        (folder / path).write_bytes(TOY.snapshot.files[path])
    (folder / "train.py").write_text(EXPORTING)
    manifest = [
        line
        for line in (TOY.root / "codegraft.toml").read_text().splitlines()
        if not line.startswith(("frozen", "predictor"))
    ]
    text = "\n".join(['tier = "exported"', *manifest]).replace("model.safetensors", "model.pt2")
    text = text.replace('["config.py", "model.py", "optim.py", "train.py"]', '["train.py"]')
    text = text.replace("cpu_s = 10.0", "cpu_s = 60.0").replace("wall_s = 20.0", "wall_s = 300.0")
    (folder / "codegraft.toml").write_text('frozen = ["prepare.py", "scorer.py"]\n' + text)
    return load_target(folder)


@pytest.fixture(scope="module")
def exporting_runner(exporting: Target) -> Iterator[Runner]:
    with Runner(exporting) as runner:
        yield runner


@pytest.mark.slow
def test_an_exported_graph_is_scored_without_python_of_the_trial(exporting: Target, exporting_runner: Runner) -> None:
    outcome = exporting_runner.run(training(exporting, EXPORTING), 1)
    assert outcome.status is Status.OK, outcome
    assert 0.02 < outcome.metric < 1.0
    assert outcome.tier == Tier.EXPORTED
    gate = exporting_runner.run(training(exporting, EXPORTING), 1, scoring=Scoring.GATE)
    assert gate.metric == outcome.metric
    assert math.isfinite(gate.second)


@pytest.mark.slow
@pytest.mark.parametrize("crafted", ATTACKS)
def test_an_archive_that_is_crafted_ends_by_name_and_runs_nothing(
    exporting: Target, exporting_runner: Runner, tmp_path: Path, crafted: str
) -> None:
    status, said = ATTACKS[crafted]
    mark = tmp_path / "gone off"
    bomb = BOMB.replace("CRAFTED", crafted).replace("MARK", f"'{mark}'")
    outcome = exporting_runner.run(training(exporting, EXPORTING + bomb), 1)
    assert outcome.status is status, outcome
    assert said in outcome.detail
    assert not mark.exists()
    assert math.isnan(outcome.metric)


# --- plausible


def test_a_metric_that_cannot_be_true_is_no_metric() -> None:
    snapshot = TOY.snapshot
    with Runner(TOY.trainable.model_copy(update={"plausible": (0.5, math.inf)})) as runner:
        outcome = runner.run(snapshot, 1)
    assert outcome.status is Status.INVALID_METRIC
    assert "scoring: val_loss is 0.0" in outcome.detail
    assert "the manifest calls 0.5 to inf plausible" in outcome.detail
    assert math.isnan(outcome.metric)


# --- manifests


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('tier = "self-reported"', 'tier = "scored"', "prepare is missing; write a function of a frozen file"),
        ('tier = "self-reported"', "", "prepare is missing; write a function of a frozen file"),
        (
            'tier = "self-reported"',
            'tier = "believed"',
            "tier is 'believed'; write one of scored, exported, self-reported",
        ),
        (
            'metric = "val_loss"',
            'metric = "val_loss"\ncheckpoint = "a.npy"',
            "checkpoint means nothing to tier self-rep",
        ),
        (
            'metric = "val_loss"',
            'metric = "val_loss"\nprobes = ["batch"]',
            "probes means nothing to tier self-reported",
        ),
        ('metric = "val_loss"', 'metric = "val_loss"\nscorer = "train.py:a"', "scorer means nothing to tier self-rep"),
        (
            'metric = "val_loss"',
            'metric = "val_loss"\npattern = "a("',
            "pattern is 'a(', which is no regular expression",
        ),
        ('metric = "val_loss"', 'metric = "val_loss"\npattern = "a"', "with 0 groups; write one, around the number"),
        ("[0.0, inf]", "[1.0, 1.0]", "plausible is [1.0, 1.0]; write the lower number first"),
        ("[0.0, inf]", "[nan, 1.0]", "plausible is [nan, 1.0]; write the lower number first"),
        ("[0.0, inf]", "[1.0]", "plausible is missing; write the lowest and the highest metric"),
        ("[0.0, inf]", '["0", 1]', "plausible is '0'; write the lowest and the highest metric"),
        (
            'metric = "val_loss"',
            'metric = "val_loss"\nprepare = "train.py:a"',
            "prepare is 'train.py:a', but frozen does",
        ),
        ('pattern = "x(.)"', "", None),
    ],
)
def test_a_manifest_that_does_not_fit_its_tier_is_refused_in_one_line(
    tmp_path: Path, old: str, new: str, said: str | None
) -> None:
    (tmp_path / "train.py").write_text(TRAIN)
    (tmp_path / "codegraft.toml").write_text(PRINTING.replace(old, new))
    if said is None:  # the control
        load_target(tmp_path)
        return
    with pytest.raises(TargetError) as caught:
        load_target(tmp_path)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_archive_and_the_tier_that_reads_it_go_together(tmp_path: Path) -> None:
    for path, data in TOY.snapshot.files.items():
        (tmp_path / path).write_bytes(data)
    manifest = (TOY.root / "codegraft.toml").read_text()
    (tmp_path / "codegraft.toml").write_text(manifest.replace("model.safetensors", "model.pt2"))
    with pytest.raises(
        TargetError, match=r"checkpoint is 'model.pt2' under tier scored; .pt2 and exported go together"
    ):
        load_target(tmp_path)
    (tmp_path / "codegraft.toml").write_text('tier = "exported"\n' + manifest)
    with pytest.raises(TargetError, match=r"predictor means nothing to tier exported|under tier exported"):
        load_target(tmp_path)


def test_a_scored_target_takes_no_pattern(tmp_path: Path) -> None:
    for path, data in TOY.snapshot.files.items():
        (tmp_path / path).write_bytes(data)
    manifest = (TOY.root / "codegraft.toml").read_text()
    (tmp_path / "codegraft.toml").write_text('pattern = "a(.)"\n' + manifest)
    with pytest.raises(TargetError, match="pattern means nothing to tier scored; leave it out"):
        load_target(tmp_path)
