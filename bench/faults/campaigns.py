"""Small campaigns for the scenarios, each in a process that may be killed, and what must be equal between two of them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

from harness.ledger import read_record
from harness.replay import plain
from mutator.edit import print_script

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from harness.values import Outcome

_TOY = Path(__file__).resolve().parents[2] / "targets" / "toy"
_PATIENCE_S = 300.0


def slow_learner(folder: Path) -> Path:
    """Write the toy target with a rate that is too small, so that a campaign of a few trials keeps some."""
    if not folder.exists():
        shutil.copytree(_TOY, folder)
        text = (folder / "config.py").read_text()
        (folder / "config.py").write_text(text.replace("0.03", "0.01"))
    return folder


def command(target: Path, out: Path, *, policy: str = "local", trials: int = 4, slots: int = 2) -> list[str]:
    """Return the command of a campaign, the same to start and to resume."""
    options = ("--policy", policy, "--trials", str(trials), "--seed", "1", "--slots", str(slots), "--window", "3")
    where = ("--out", str(out), "--isolation", "landlock", "--replicates", "2", "--pause-after", "0")
    return [sys.executable, "-m", "bench.faults.driver", "search", str(target), *options, *where]


def run(line: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, whatever that is."""
    env = {**os.environ, "PYTHONUNBUFFERED": "1", **environment}
    return subprocess.run(line, env=env, capture_output=True, text=True, check=False, timeout=_PATIENCE_S)


def kill_after(line: list[str], seconds: float, **environment: str) -> tuple[int, str]:
    """Run a command and kill it after a time. Returns: its exit code, and what it had printed."""
    env = {**os.environ, "PYTHONUNBUFFERED": "1", **environment}
    with subprocess.Popen(line, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            said, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            said, _ = process.communicate()
    return process.returncode, said


def facts(folder: Path) -> Mapping[str, object]:
    """Return all of a campaign but times, sizes and logs."""
    record = read_record(folder)
    proposals = [
        (p.number, p.parent, print_script(p.script), p.snapshot, p.commit, p.known, p.promises)
        for p in record.proposals
    ]
    return {
        "baseline": [_measured(outcome) for outcome in record.baseline],
        "proposals": proposals,
        "outcomes": [[_measured(outcome) for outcome in trial.outcomes] for trial in record.trials],
        "verdicts": [(trial.number, plain(trial.verdict)) for trial in record.trials],
        "rewards": [(trial.number, plain(trial.reward)) for trial in record.trials],
        "rechecks": [(r.trial, _measured(r.incumbent), _measured(r.baseline)) for r in record.rechecks],
        "finals": [(f.trial, f.role, str(f.scoring), _measured(f.outcome)) for f in record.finals],
        "stop reason": record.stop_reason,
    }


def differences(one: Mapping[str, object], other: Mapping[str, object]) -> str:
    """Name what differs between the facts of two campaigns, and show the first of it; empty when nothing does."""
    names = [name for name in one if one[name] != other[name]]
    shown = next(
        ((a, b) for name in names for a, b in zip_longest(_items(one[name]), _items(other[name])) if a != b), None
    )
    return f"{', '.join(names)} (first {shown[0]} and {shown[1]})" if shown else ", ".join(names)


def _items(fact: object) -> Iterable[object]:
    return fact if isinstance(fact, list) else [fact]


def wait_until(holds: object, seconds: float = 10.0) -> bool:
    """Ask until it holds, or the time is over."""
    give_up_at = time.monotonic() + seconds
    while not (held := holds()) and time.monotonic() < give_up_at:  # type: ignore[operator]
        time.sleep(0.01)
    return bool(held)


def _measured(outcome: Outcome) -> tuple[object, ...]:
    return outcome.seed, str(outcome.status), outcome.steps, plain(outcome.metric), plain(outcome.second)
