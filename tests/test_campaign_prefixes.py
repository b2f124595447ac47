"""Whatever a kill leaves of a ledger, the same command ends in the same ledger: one campaign is cut where that is delicate."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest

from bench.faults.campaigns import differences, facts
from harness.campaign import Campaign, Session
from harness.ledger import LEDGER_FILE, Ledger, read_record
from harness.measure import Runner
from harness.objects import ObjectStore
from harness.record import Settings
from harness.sources import read_target
from harness.values import Status
from policy.random import RandomPolicy
from targets.manifest import load_target

NOOP = Path(__file__).parent / "cases" / "noop"
SEED, N_TRIALS, WINDOW = 4, 21, 3


def write_sum(folder: Path) -> Path:
    """A target whose loss is the sum of its numbers and a little luck, so that some edits are kept and some are duplicates."""
    shutil.copytree(NOOP, folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "config.py").write_text("NUMBERS = [9.5, 4.5, 0.5]\n")
    train = (folder / "train.py").read_text()
    lucky = "[*NUMBERS, random.Random(os.environ['CODEGRAFT_SEED']).gauss(0.0, 0.5)]"
    (folder / "train.py").write_text(
        f"import os\nimport random\n{train.replace('np.array(NUMBERS', f'np.array({lucky}')}"
    )
    predict = (folder / "predict.py").read_text()
    (folder / "predict.py").write_text(
        predict.replace("    load_file(checkpoint)\n", "    total = load_file(checkpoint)['w'].sum()\n").replace(
            "inputs.sum(axis=1)", "inputs.sum(axis=1) + total"
        )
    )
    return folder


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    return load_target(write_sum(tmp_path_factory.mktemp("target") / "sum"))


@pytest.fixture(scope="module")
def runner(target):
    with Runner(target, n_slots=2, isolation="landlock") as runner:
        yield runner


def carry_on(target, runner, out, *, n_slots=1):
    where = (str(target.folder), read_target(target).digest, target.name, target.metric, target.direction)
    settings = Settings(*where, "random", SEED, N_TRIALS, WINDOW, 3)
    new = not (out / LEDGER_FILE).exists()
    with Ledger.create(out, settings) if new else Ledger(out) as ledger:
        session = Session(out, lambda line: None, n_slots)
        return Campaign(target, ledger, ObjectStore(out), session).run(runner, RandomPolicy(SEED))


@pytest.fixture(scope="module")
def whole(target, runner, tmp_path_factory):
    out = tmp_path_factory.mktemp("campaign") / "whole"
    carry_on(target, runner, out)
    return out


def cut(whole, out, n_events):
    """What a kill after so many events leaves."""
    shutil.copytree(whole, out, ignore=shutil.ignore_patterns("*-wal", "*-shm"))
    connection = sqlite3.connect(out / LEDGER_FILE)
    connection.execute("DELETE FROM events WHERE seq > ?", (n_events,))
    connection.commit()
    connection.close()
    return out


def types(folder):
    connection = sqlite3.connect(folder / LEDGER_FILE)
    found = [row[0] for row in connection.execute("SELECT type FROM events ORDER BY seq")]
    connection.close()
    return found


def kills(folder):
    """After which events a kill is worth a resume here: those after which something else than the next run follows."""
    found = types(folder)
    duplicate = next(t.number for t in read_record(folder).trials if t.status is Status.DUPLICATE)
    proposed = [n for n, type_ in enumerate(found, 1) if type_ == "proposed"]
    return {
        "a duplicate was proposed": proposed[duplicate - 1],
        "the recheck is due": found.index("rechecked"),
        "the last evaluation is half done": found.index("final") + 4,
    }


@pytest.mark.parametrize("when", ["a duplicate was proposed", "the recheck is due", "the last evaluation is half done"])
def test_what_a_kill_leaves_ends_as_the_uninterrupted_campaign(whole, target, runner, tmp_path, when):
    left = cut(whole, tmp_path / "left", kills(whole)[when])
    carry_on(target, runner, left, n_slots=2)
    assert not differences(facts(whole), facts(left))
