"""The first steps before a budget is spent: a crash is known, and so is an edit that does nothing. What `check` prints."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from graph.snapshot import Snapshot
from harness.campaign import _screened
from harness.measure import SMOKE_STEPS, Runner
from harness.meter import N_MARKS
from harness.sources import open_sources
from harness.values import Status

TOY = open_sources("toy")


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        with Runner(TOY.trainable) as runner:
            yield runner


def edited(old: str, new: str) -> Snapshot:
    text = TOY.snapshot.files["train.py"].decode()
    assert old in text
    return TOY.snapshot.with_files({"train.py": text.replace(old, new).encode()}, edit="by hand")


def test_the_first_steps_are_few_repeatable_and_scored_by_nobody(runner):
    first, again, other = (runner.smoke(TOY.snapshot, seed) for seed in (1, 1, 2))
    assert first.outcome.ok
    assert first.outcome.steps == SMOKE_STEPS
    assert first.outcome.metric != first.outcome.metric
    assert first.fingerprint == again.fingerprint != other.fingerprint


def test_an_edit_that_does_nothing_has_the_same_fingerprint_and_one_that_does_another(runner):
    base = runner.smoke(TOY.snapshot, 1).fingerprint
    assert runner.smoke(edited("# (N, I), (N,)", "# renamed"), 1).fingerprint == base
    assert runner.smoke(edited("cfg = Config()", "cfg = Config(lr=0.0123)"), 1).fingerprint != base


def test_the_shipped_training_hints_in_every_part_of_its_budget_and_trains_as_if_it_did_not(runner):
    hints, silent = "budget.spend(model.predict, inputs[batch], outputs[batch])", "budget.spend()"
    loud, quiet = runner.run(TOY.snapshot, 1), runner.run(edited(hints, silent), 1)
    assert len(loud.curve) == N_MARKS
    assert loud.curve[0] > loud.curve[-1] > 0
    assert (quiet.metric, quiet.steps, quiet.curve) == (loud.metric, loud.steps, ())
    assert runner.smoke(TOY.snapshot, 1).fingerprint == runner.smoke(edited(hints, silent), 1).fingerprint


def test_what_the_hints_are_made_of_is_protected():
    protected = {TOY.graph.text(TOY.graph.nodes[slot]).partition("(")[0] for slot in TOY.protected}
    assert "budget.spend" in protected


def test_a_crash_costs_the_first_steps_and_no_budget(runner):
    broken = edited("    save_file(model.weights", "    raise ValueError('at the end')\n    save_file(model.weights")
    outcome = _screened(runner, broken, 1)
    assert outcome.status is Status.FAILED
    assert "at the end" in outcome.detail
    assert outcome.steps == SMOKE_STEPS
    assert _screened(runner, TOY.snapshot, 1).steps > SMOKE_STEPS


def codegraft(*args: str) -> subprocess.CompletedProcess[str]:
    command = Path(sys.executable).with_name("codegraft")
    return subprocess.run([command, *args], capture_output=True, text=True, check=False)


def test_check_prints_what_is_protected_with_file_and_line():
    told = json.loads(codegraft("check", "toy", "--runs", "0", "--json").stdout)
    lines = (TOY.root / "train.py").read_text().splitlines()
    number = next(i for i, line in enumerate(lines, 1) if "budget.progress()" in line)
    assert f"train.py:{number}" in {each["line"] for each in told["protected"]}
    assert set(told["frozen"]) == TOY.snapshot.frozen
    assert sum(told["edits"].values()) == len(list(TOY.code.edits()))
    assert told["hidden"] == []


def test_a_file_that_does_not_parse_is_said_and_not_passed_over(tmp_path):
    (tmp_path / "a.py").write_text("x = (\n")
    (tmp_path / "b.py").write_text("lr = 0.5\n")
    for command in ("check", "edits"):
        done = codegraft(command, str(tmp_path))
        assert done.returncode == 0
        assert "codegraft: a.py: is left out" in done.stderr
