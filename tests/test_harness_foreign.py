"""Trainings that were not written for codegraft: they find their command line and their data, and end by themselves or are ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from graph.snapshot import read_snapshot
from harness.measure import Runner
from harness.values import Outcome, Status
from targets.manifest import TargetError, load_target

if TYPE_CHECKING:
    from pathlib import Path

MANIFEST = """
name = "foreign"
mutable = ["jobs/train.py", "jobs/reader.py"]
train = "jobs/train.py"
arguments = ["--scale=2", "--seed={seed}"]
data = ["corpus", "../shared"]
tier = "self-reported"
metric = "loss"
direction = "minimize"

[budget]
unit = "cpu_s"
amount = 60
"""
TRAIN = """\
import sys
import reader
options = dict(argument.removeprefix("--").split("=") for argument in sys.argv[1:])
print("loss:", float(options["scale"]) * reader.total() + float(options["seed"]))
"""
READER = """\
from pathlib import Path
def total():
    return int(Path("corpus/part/one.txt").read_text()) + int(Path("../shared/two.txt").read_text())
"""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "repository"
    for path, text in {
        "jobs/train.py": TRAIN,
        "jobs/reader.py": READER,
        "corpus/part/one.txt": "30",
        "../shared/two.txt": "4",
        "codegraft.toml": MANIFEST,
    }.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return root


def run(folder: Path, *, seed: int = 0, source: str = TRAIN) -> Outcome:
    target = load_target(folder)
    snapshot = read_snapshot(target.root_dir, target.mutable).with_files(
        {"jobs/train.py": source.encode()}, edit="test"
    )
    with Runner(target, launch="exec", allow_self_reported=True) as runner:
        return runner.run(snapshot, seed)


def test_a_script_finds_its_command_line_its_neighbours_and_its_data(folder: Path) -> None:
    outcome = run(folder, seed=7)
    assert (outcome.status, outcome.metric) == (Status.OK, 2 * 34 + 7), outcome


def test_changed_data_are_copied_again(folder: Path) -> None:
    assert run(folder).metric == 68
    (folder / "corpus/part/one.txt").write_text("130")
    assert run(folder).metric == 268


def test_data_beside_sources_of_the_same_folder_are_linked_one_by_one(folder: Path) -> None:
    (folder / "codegraft.toml").write_text(MANIFEST.replace('"corpus"', '"jobs/corpus", "jobs"'))
    (folder / "corpus").rename(folder / "jobs/corpus")
    source = TRAIN.replace("reader.total()", "int(open('jobs/corpus/part/one.txt').read())")
    assert run(folder, source=source).metric == 60


def test_no_run_changes_its_data(folder: Path) -> None:
    outcome = run(folder, source="open('corpus/part/one.txt', 'w').write('1')\n" + TRAIN)
    assert outcome.status is Status.FAILED, outcome
    assert run(folder).metric == 68


def test_a_training_that_never_asks_is_ended_where_its_budget_of_time_is(folder: Path) -> None:
    endless = "while True: pass\n"
    (folder / "codegraft.toml").write_text(MANIFEST.replace("amount = 60", "amount = 0.5"))
    outcome = run(folder, source=endless)
    assert (outcome.status, outcome.cpu_s < 10) == (Status.TIMEOUT, True), outcome
    assert "used up its budget" in outcome.detail
    limited = MANIFEST.replace("cpu_s", "steps") + "[limits]\nwall_s = 2\n"
    (folder / "codegraft.toml").write_text(limited)  # steps that nobody asks for bound nothing
    assert "ran longer than 2 s" in run(folder, source=endless).detail


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ('["/etc"]', "data names '/etc'; write it relative to root"),
        ('["../../x"]', "data names '../../x'; write it relative to root"),
        ('["../work"]', "data names '../work', where a run has a folder of its own"),
        ('["nothing"]', "data names 'nothing', which is not in"),
        ('["jobs/train.py"]', "data names 'jobs/train.py', which is one of the sources"),
    ],
)
def test_data_that_no_run_could_find_are_refused(folder: Path, data: str, said: str) -> None:
    (folder / "codegraft.toml").write_text(MANIFEST.replace('["corpus", "../shared"]', data))
    with pytest.raises(TargetError, match=said.replace("/", "[/]").replace(".", "[.]")):
        load_target(folder)


def test_data_belong_to_self_reported_targets_without_a_prepare(folder: Path) -> None:
    (folder / "codegraft.toml").write_text(MANIFEST.replace('tier = "self-reported"', 'tier = "scored"'))
    with pytest.raises(TargetError, match="prepare is missing"):
        load_target(folder)
    (folder / "prepare.py").write_text("def prepare(folder): ...\n")
    (folder / "codegraft.toml").write_text(
        MANIFEST.replace("train =", 'frozen = ["prepare.py"]\nprepare = "prepare.py:prepare"\ntrain =')
    )
    with pytest.raises(TargetError, match="data and prepare both say"):
        load_target(folder)
