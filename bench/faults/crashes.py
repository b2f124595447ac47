"""Controllers that are killed: at every named point, at any time, and with another one beside them."""

from __future__ import annotations

import random
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from bench.faults.campaigns import command, differences, facts, kill_after, run, slow_learner, wait_until
from bench.faults.fault import Found, Pace
from harness.ledger import LEDGER_FILE, read_record
from harness.values import TrialError
from harness.verify import verify

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_AT_ONCE = 2
_KILLED = -9
_PEACE_S = 600.0


def every_point(folder: Path, pace: Pace) -> Found:
    """Kill a campaign before and after each call of each point, resume it, and compare with the one that ran through."""
    return _points(folder, pace, policy="local", trials=4)


def points_of_ppo(folder: Path, pace: Pace) -> Found:
    """Do the same around what only a policy with weights does: learn from feedback, and save them."""
    return _points(folder, pace, policy="ppo", trials=2, only=("feedback", "save"))


def _points(folder: Path, pace: Pace, *, policy: str, trials: int, only: tuple[str, ...] = ()) -> Found:
    target, whole, log = slow_learner(folder / "target"), folder / "whole", folder / "log"
    done = run(command(target, whole, policy=policy, trials=trials), FAULT_LOG=str(log))
    if done.returncode:
        return Found("nothing", [f"the uninterrupted campaign failed: {done.stderr[-300:]}"])
    wanted = facts(whole)
    calls = [line for line in log.read_text().splitlines() if not only or line.startswith(only)]
    points = [f"{call} {side}" for call in pace.sample(calls) for side in ("before", "after")]

    def kill_and_resume(item: tuple[int, str]) -> str:
        index, point = item
        line = command(target, folder / f"c{index}", policy=policy, trials=trials)
        killed = run(line, FAULT=point)
        if killed.returncode != _KILLED:  # with two slots the last calls may come in another order
            return "" if not killed.returncode else f"{point}: ended as {killed.returncode} {killed.stderr[-200:]}"
        resumed = run(line)
        if resumed.returncode:
            return f"{point}: the same command gave {resumed.stderr[-200:]}"
        if differing := differences(wanted, facts(folder / f"c{index}")):
            return f"{point}: {differing} differ from the uninterrupted campaign"
        faults = [fault for check in verify(folder / f"c{index}", rescores=False) for fault in check.faults]
        return f"{point}: {faults[0]}" if faults else ""

    violations = list[str]()
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for first in range(0, len(points), _AT_ONCE):
            said = pool.map(kill_and_resume, list(enumerate(points))[first : first + _AT_ONCE])
            violations += filter(None, said)
            if violations and pace.is_control:
                break
    return Found(f"{len(points)} of {2 * len(calls)} points", violations)


def any_time(folder: Path, pace: Pace) -> Found:
    """Kill campaigns at random times, again and again until each is finished, and compare with the one that ran through."""
    target, trials = slow_learner(folder / "target"), 12
    began_s = time.monotonic()
    done = run(command(target, folder / "whole", trials=trials))
    if done.returncode:
        return Found("nothing", [f"the uninterrupted campaign failed: {done.stderr[-300:]}"])
    wanted, whole_s = facts(folder / "whole"), time.monotonic() - began_s
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        halves = [
            pool.submit(_kill_often, folder / f"half{half}", target, wanted, (whole_s, pace.rounds // _AT_ONCE, half))
            for half in range(_AT_ONCE)
        ]
        found = [half.result() for half in halves]
    n_kills, n_campaigns = (sum(each[i] for each in found) for i in (0, 1))
    return Found(f"{n_kills} kills, {n_campaigns} campaigns finished", [said for each in found for said in each[2]])


def _kill_often(
    folder: Path, target: Path, wanted: Mapping[str, object], plan: tuple[float, int, int]
) -> tuple[int, int, list[str]]:
    whole_s, rounds, seed = plan
    rng, violations, n_kills, n_campaigns = random.Random(seed), list[str](), 0, 0
    while n_kills < rounds and not violations:
        out, n_events, code = folder / str(n_campaigns), 0, _KILLED
        while code == _KILLED and not violations:
            # Once there were enough kills, the last campaign may end in peace.
            patience_s = rng.uniform(0.1, 0.7) * whole_s if n_kills < rounds else _PEACE_S
            code, said = kill_after(command(target, out, trials=12), patience_s)
            n_kills += code == _KILLED
            seen = [int(line.split()[1]) for line in said.splitlines() if line.startswith("trial ")]
            n_now, lost = _look(out, seen)
            violations += [f"kill {n_kills}: {lost}"] if lost else []
            violations += [f"kill {n_kills}: {n_events} events became {n_now}"] if n_now < n_events else []
            n_events = n_now
            if code not in (0, _KILLED):
                violations.append(f"kill {n_kills}: resumed with {code}: {said[-200:]}")
        n_campaigns += 1
        if not violations and (differing := differences(wanted, facts(out))):
            violations.append(f"campaign {n_campaigns}: {differing} differ from the uninterrupted one")
    return n_kills, n_campaigns, violations


def _look(out: Path, seen: list[int]) -> tuple[int, str]:
    """Return how much there is, and which acknowledged trial is not there."""
    if not (out / LEDGER_FILE).exists():
        return 0, "" if not seen else "there is no ledger"
    try:
        record = read_record(out)
    except TrialError as error:
        return 0, str(error)
    lost = sorted(set(seen) - {trial.number for trial in record.trials})
    n_events = len(record.baseline) + len(record.proposals) + 2 * len(record.trials) + len(record.finals)
    return n_events, f"trials {lost} were printed and are not there" if lost else ""


def two_controllers(folder: Path, _: Pace) -> Found:
    """Start a second controller beside the first, then kill the first: its lock is no obstacle."""
    target, out = slow_learner(folder / "target"), folder / "c"
    line = command(target, out, trials=8)
    violations = list[str]()
    with subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as first:
        if not wait_until((out / LEDGER_FILE).exists, 60.0):
            return Found("nothing", ["the first controller did not start"])
        second = run(line)
        if second.returncode != 1 or "another process runs this campaign" not in second.stderr:
            violations.append(f"the second controller ended as {second.returncode}: {second.stderr[-200:]}")
        first.kill()
    third = run(line)
    if third.returncode:
        violations.append(f"after kill -9 of the first: {third.stderr[-200:]}")
    return Found("a second beside the first, a third after kill -9", violations)


def out_of_order(folder: Path, _: Pace) -> Found:
    """Let runs end in another order than they count: one slot and four give one ledger."""
    target = slow_learner(folder / "target")
    train = target / "train.py"
    # Even trials take longer than odd ones: the copy's folder tells them apart, and the metric does not notice.
    slow = "def main() -> None:\n    import os, time, zlib\n    time.sleep(0.8 * (zlib.crc32(os.getcwd().encode()) % 3 == 0))\n"
    train.write_text(train.read_text().replace("def main() -> None:\n", slow))
    lines = [command(target, folder / f"slots{slots}", trials=6, slots=slots) for slots in (1, 4)]
    for line in lines:
        if (done := run(line)).returncode:
            return Found("nothing", [done.stderr[-300:]])
    differing = differences(facts(folder / "slots1"), facts(folder / "slots4"))
    return Found("6 trials on 1 and on 4 slots", [f"{differing} differ"] if differing else [])
