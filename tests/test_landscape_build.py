"""A landscape that is really built: through the command line, killed, and gone on with."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.landscape.lookup import open_landscape
from harness.landscape.store import read_landscape
from harness.landscape.table import Stage
from targets.shipped import LANDSCAPES

SIZE = 30


def _command(out: Path, *more: str) -> list[str]:
    codegraft = str(Path(sys.executable).with_name("codegraft"))
    return [codegraft, "landscape", "build", "toy", "--size", str(SIZE), "--out", str(out), *more]


def _n_lines(record: Path) -> int:
    return record.read_bytes().count(b"\n") if record.is_file() else 0


@pytest.mark.slow
def test_a_build_that_is_killed_goes_on_to_the_landscape_that_it_would_have_been(tmp_path: Path):
    whole, killed = tmp_path / "whole.parquet", tmp_path / "killed.parquet"
    subprocess.run(_command(whole), check=True, capture_output=True)
    build = subprocess.Popen(_command(killed), stdout=subprocess.DEVNULL, start_new_session=True)
    while _n_lines(killed.with_suffix(".jsonl")) < SIZE // 3 and build.poll() is None:
        time.sleep(0.02)
    os.killpg(build.pid, signal.SIGKILL)
    build.wait()
    assert not killed.exists()
    limited = subprocess.run(_command(killed, "--runs", "4"), check=True, capture_output=True, text=True)
    assert "stopped at the limit" in limited.stdout
    killed.with_suffix(".jsonl").unlink()  # the landscape itself is enough to go on from
    done = subprocess.run(_command(killed), check=True, capture_output=True, text=True)
    assert "complete: " in done.stdout
    tables = [read_landscape(path)[0] for path in (whole, killed)]
    runs = [{(row.script, row.seed): (str(row.status), f"{row.metric:.6g}") for row in table.rows} for table in tables]
    assert runs[0] == runs[1]
    assert sum(row.stage is Stage.BASELINE for row in tables[1].rows) == 8
    assert sum(row.seed is not None for row in tables[1].rows) == SIZE
    landscape = open_landscape(str(killed))
    assert landscape.measure((), 0) == landscape.measure((), 0)


@pytest.mark.slow
def test_an_interrupted_build_writes_what_it_has(tmp_path: Path):
    out = tmp_path / "toy.parquet"
    build = subprocess.Popen(_command(out), stdout=subprocess.PIPE, text=True)
    while _n_lines(out.with_suffix(".jsonl")) < 12 and build.poll() is None:
        time.sleep(0.02)
    build.send_signal(signal.SIGINT)
    said, _ = build.communicate(timeout=60)
    assert build.returncode == 0
    assert "interrupted" in said
    n_rows = sum("script" in json.loads(line) for line in out.with_suffix(".jsonl").read_text().splitlines())
    assert len(read_landscape(out)[0].rows) == n_rows


def test_a_landscape_of_another_design_is_refused_and_left_as_it_is(tmp_path: Path):
    out = tmp_path / "toy.parquet"
    out.write_bytes((LANDSCAPES / "tabular.parquet").read_bytes())
    for _ in range(2):  # the first refusal leaves nothing that the second call would go on from
        refused = subprocess.run(_command(out), check=False, capture_output=True, text=True)
        assert refused.returncode == 1
        assert "was begun with another target" in refused.stderr
    assert [path.name for path in tmp_path.iterdir()] == [out.name]
