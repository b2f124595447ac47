"""Campaigns of a policy that proposes scripts of two edits on any measured program: one that a package brings, on the toy target."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bench.faults.campaigns import differences, facts, slow_learner
from harness.export.history import read_history
from harness.ledger import read_record
from harness.objects import ObjectStore
from harness.report import write_report
from harness.sources import open_program
from harness.verify import verify
from mutator.edit import print_script

if TYPE_CHECKING:
    from collections.abc import Mapping

CODEGRAFT = str(Path(sys.executable).with_name("codegraft"))
N_TRIALS, SEED = 12, 1
PAIRS = '''\
"""Two edits at a time, on a program that is not the incumbent while there is one."""

from policy.draw import open_stream
from policy.protocol import Move
from policy.random import RandomPolicy


class Pairs(RandomPolicy):
    def propose(self, scene, n):
        return tuple(self.draw(scene, open_stream(self._seed, "pairs", scene.number + i)) for i in range(n))

    def draw(self, scene, stream):
        others = [parent for parent in scene.parents if parent is not scene.incumbent]
        parent = stream.choice(others or [scene.incumbent])
        rates = [edit for edit in parent.edits if edit.site.endswith("literal.lr") and edit.choice[0][1] != 2.0]
        mild = [edit for edit in parent.edits if edit.site.endswith(("literal.warmup", "literal.weight_decay"))]
        return Move(parent.number, (stream.choice(rates), stream.choice(mild)))
'''


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """Where a package with the policy is installed."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "pairs.py").write_text(PAIRS)
    info = folder / "pairs-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: pairs\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[codegraft.policies]\npairs = pairs:Pairs\n")
    paths = (str(folder), *filter(None, [os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1"}


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return slow_learner(tmp_path_factory.mktemp("target") / "toy")


def command(target: Path, out: Path, slots: int) -> list[str]:
    options = ("--policy", "pairs", "--trials", str(N_TRIALS), "--seed", str(SEED), "--slots", str(slots))
    where = ("--window", "3", "--stopping", "none", "--isolation", "landlock", "--pause-after", "0", "--out", str(out))
    return [CODEGRAFT, "search", str(target), *options, *where]


@pytest.fixture(scope="module")
def whole(target: Path, environment: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    out = tmp_path_factory.mktemp("campaigns") / "whole"
    done = subprocess.run(command(target, out, 1), env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return out, done.stdout


def test_every_trial_is_a_script_of_two_edits_and_many_start_elsewhere_than_the_incumbent(
    whole: tuple[Path, str],
) -> None:
    record, printed = read_record(whole[0]), whole[1]
    assert {len(trial.script) for trial in record.trials} == {2}
    assert len({trial.parent for trial in record.trials}) > 2
    kept = {0, *(trial.number for trial in record.kept)}
    assert any(trial.parent not in kept for trial in record.trials)
    for trial in record.trials:
        line = next(line for line in printed.splitlines() if line.startswith(f"trial {trial.number}  "))
        assert print_script(trial.script, anchors=False) in line


def test_what_is_kept_is_the_chain_of_its_parents(whole: tuple[Path, str]) -> None:
    record = read_record(whole[0])
    assert record.incumbent is not None
    chain = record.lineage(record.incumbent.number)
    assert [trial.parent for trial in chain] == [0, *(trial.number for trial in chain[:-1])]
    assert len(chain) > 1
    best = open_program(f"{whole[0]}@best").snapshot.files
    assert best == ObjectStore(whole[0]).files(record.incumbent.commit)
    roles = {final.role for final in record.finals}
    assert {"baseline", "incumbent"} <= roles
    assert sum(role.startswith("without ") for role in roles) > 2


def test_a_lead_is_the_gain_over_the_unedited_target_in_its_noise(whole: tuple[Path, str]) -> None:
    record = read_record(whole[0])
    for trial in record.trials:
        assert math.isnan(trial.lead) is not trial.ok
    best = max((trial for trial in record.trials if trial.ok), key=lambda trial: trial.lead)
    assert best.metric == min(trial.metric for trial in record.trials if trial.ok)
    assert best.lead > 0.0


def test_two_slots_and_a_kill_change_nothing(
    whole: tuple[Path, str], target: Path, environment: Mapping[str, str], tmp_path: Path
) -> None:
    process = subprocess.Popen(command(target, tmp_path / "c", 2), env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    while not process.stdout.readline().startswith("trial 6"):
        pass
    process.kill()
    process.wait()
    process.stdout.close()
    assert len(read_record(tmp_path / "c").trials) < N_TRIALS
    done = subprocess.run(
        command(target, tmp_path / "c", 2), env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert not differences(facts(whole[0]), facts(tmp_path / "c"))


def test_it_verifies_and_every_way_to_look_at_it_shows_scripts_and_parents(whole: tuple[Path, str]) -> None:
    folder = whole[0]
    assert [fault for check in verify(folder, rescores=False) for fault in check.faults] == []
    record = read_record(folder)
    page = write_report(folder).read_text()
    further = next(trial for trial in record.trials if trial.parent)
    assert f'on <a href="#trial-{further.parent}">trial {further.parent}</a>' in page
    rows = {entry.number: entry for entry in read_history(folder).entries}
    assert rows[further.number].parent == rows[further.parent]
    assert rows[further.number].uri == print_script(further.script)
    shown = subprocess.run([CODEGRAFT, "graph", f"{folder}@best"], capture_output=True, text=True, check=True).stdout
    for trial in record.lineage(record.kept[-1].number):
        edits = print_script(trial.script, anchors=False)
        assert f"trial {trial.number}  {edits}  on trial {trial.parent}\n" in shown
    status = subprocess.run([CODEGRAFT, "status", folder, "--json"], capture_output=True, text=True, check=True)
    assert json.loads(status.stdout)["kept"] == [print_script(trial.script) for trial in record.kept]
