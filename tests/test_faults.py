"""The table of faults: a part of it quickly, all of it without its controls as slow; `make faults` runs everything."""

import os
from pathlib import Path

import pytest

from bench.faults.fault import Pace, carry_out
from bench.faults.rows import ROWS
from harness.disks import network_of
from harness.ledger import Ledger
from harness.values import TrialError

PACE = Pace(points=1, rounds=6, damages=20)
ROOT = Path(__file__).parent.parent
QUICK = ("fd bomb", "network file systems")


def named(name):
    return next(row for row in ROWS if row.name == name)


@pytest.mark.parametrize("name", QUICK)
def test_a_fault_is_held_and_its_guard_would_be_missed(tmp_path, name):
    assert not carry_out(named(name), tmp_path / "whole", PACE, without_guard=False).violations
    assert carry_out(named(name), tmp_path / "control", PACE, without_guard=True).violations


@pytest.mark.slow
@pytest.mark.parametrize("row", [row for row in ROWS if row.name not in QUICK], ids=lambda row: row.name)
def test_every_fault_is_held(tmp_path, row):
    if row.mounts and os.geteuid() != 0:
        pytest.skip("mounting needs root")
    found = carry_out(row, tmp_path / "whole", PACE, without_guard=False)
    assert not found.violations, found.tried


@pytest.mark.parametrize("row", [row for row in ROWS if row.guard], ids=lambda row: row.name)
def test_what_a_control_takes_out_stands_in_the_sources_once(row):
    for change in (*row.setting, *row.guard.changes):
        assert (ROOT / change.file).read_text().count(change.old) == 1, change


def test_every_row_has_a_name_of_its_own():
    assert len({row.name for row in ROWS}) == len(ROWS)


def test_a_campaign_on_a_network_is_refused_in_one_line(tmp_path, monkeypatch):
    assert network_of(tmp_path) == ""
    monkeypatch.setattr("harness.disks._NETWORK", frozenset({mounted_type(tmp_path)}))
    with pytest.raises(TrialError, match=r"lies on \w+, where a write-ahead log may lose events") as refused:
        Ledger(tmp_path)
    assert "\n" not in str(refused.value)


def mounted_type(folder):
    device = folder.stat().st_dev
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    lines = [line for line in mounts if line.split()[2] == f"{os.major(device)}:{os.minor(device)}"]
    return lines[0].partition(" - ")[2].split()[0]
