"""What a few runs of the unedited target say about it, and which hints follow; each hint has a case where it is not given."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from bench.targets_table import rows
from harness.checkup import Checkup, disagrees, hints
from harness.sources import open_sources
from harness.values import Outcome, Status
from targets.manifest import Budget, Limits, Measured, Probe, Target, Tier, Unit

TOY = open_sources("toy").trainable
KNOWN = Measured(baseline=1.0, sd=0.01, seeds=10, wall_s=5.0, cpu_s=4.0, best=0.5)
TARGET = TOY.model_copy(update={"measured": KNOWN, "limits": Limits(cpu_s=12.0, memory_mb=1000)})


def outcome(metric: float, *, cpu_s: float = 4.0, curve: tuple[float, ...] = (1.0,)) -> Outcome:
    phases = (("wait", 9.0), ("copy", 0.1), ("train", 4.5), ("score", 0.4))
    run = Outcome(Status.OK, metric, cpu_s=cpu_s, curve=curve, phases=phases, steps=60, peak_rss_bytes=100 << 20)
    return replace(run, wall_s=4.5)


GOOD = Checkup(tuple(map(outcome, (1.0, 1.01, 0.99))), outcome(1.0), has_second=True, has_final=True, passing=())


def said(target: Target, found: Checkup) -> str:
    return "\n".join(hints(target, found))


def test_a_good_target_gets_no_hint() -> None:
    assert said(TARGET, GOOD) == ""
    assert math.isclose(GOOD.wall_s, 5.0)  # what it waited for a slot does not count


@pytest.mark.parametrize(
    ("found", "hint"),
    [
        (replace(GOOD, again=outcome(1.001)), "seed 0 gives val_loss 1 and then 1.001"),
        (replace(GOOD, outcomes=(outcome(1.0),) * 3), "all 3 seeds give val_loss 1: no noise is known"),
        (replace(GOOD, outcomes=tuple(map(outcome, (1.0, 1.1, 0.9)))), "the headroom 0.5, 5.0 sd: single edits drown"),
        (replace(GOOD, outcomes=tuple(map(outcome, (1.2, 1.21, 1.19))), again=outcome(1.2)), "is val_loss 1 +- 0.01, measured 1.2"),
        (replace(GOOD, has_second=False), "there is no second shard"),
        (replace(GOOD, has_final=False), "there is no final test"),
        (replace(GOOD, outcomes=tuple(outcome(m, curve=()) for m in (1.0, 1.01, 0.99))), "gives no hints"),
        (replace(GOOD, passing=(Probe.CAUSAL,)), 'passes the probe "causal"'),
        (replace(GOOD, outcomes=tuple(outcome(m, cpu_s=9.0) for m in (1.0, 1.01, 0.99))), "limits.cpu_s is 12, 1.3 times"),
    ],
)  # fmt: skip
def test_what_could_be_better_is_said(found: Checkup, hint: str) -> None:
    (line,) = hints(TARGET, found)
    assert hint in line


@pytest.mark.parametrize(
    ("change", "hint"),
    [
        ({"limits": Limits(cpu_s=90.0)}, "is 90, 22.5 times what the baseline takes: an edit may do much unseen work; write 12"),
        ({"limits": Limits(cpu_s=12.0, memory_mb=120)}, "uses 83% of limits.memory_mb"),
        ({"measured": None}, "nothing is documented of it"),
        ({"measured": KNOWN.model_copy(update={"numbers": 0.7})}, "other numbers alone gain 60% of the headroom"),
        ({"tier": Tier.SELF_REPORTED}, "tier is self-reported"),
    ],
)  # fmt: skip
def test_what_the_manifest_could_say_better_is_said(change: dict[str, object], hint: str) -> None:
    (line,) = hints(TARGET.model_copy(update=change), GOOD)
    assert hint in line


def test_the_ceiling_of_a_self_reported_training_is_held_against_what_it_takes() -> None:
    budget = Budget(unit=Unit.CPU_S, amount=1800.0)
    target = TARGET.model_copy(update={"tier": Tier.SELF_REPORTED, "budget": budget, "limits": Limits(cpu_s=1800.0)})
    assert "budget.amount is 1800, 450.0 times what the baseline takes" in said(target, GOOD)
    unasked = replace(GOOD, outcomes=tuple(replace(o, steps=0) for o in GOOD.outcomes))
    counted = TARGET.model_copy(update={"tier": Tier.SELF_REPORTED})
    assert "nobody asks for its budget of steps" in said(counted, unasked)
    assert "nobody asks" not in said(counted, GOOD)


def test_a_document_disagrees_beyond_the_noise_alone() -> None:
    assert not disagrees(KNOWN, GOOD)
    assert not disagrees(KNOWN.model_copy(update={"baseline": 1.015}), GOOD)
    assert disagrees(KNOWN.model_copy(update={"baseline": 1.05}), GOOD)


def codegraft(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = Path(sys.executable).with_name("codegraft")
    return subprocess.run([command, *arguments], capture_output=True, text=True, check=False)


def test_check_measures_a_target() -> None:
    done = codegraft("check", "toy", "--runs", "2", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    measured = told["measured"]
    assert (measured["metric"], measured["seeds"], measured["repeatable"], measured["passing"]) == (
        "val_loss",
        2,
        True,
        [],
    )
    assert 0.04 < measured["baseline"] < 0.1
    assert 0 < measured["cpu_s"] < measured["wall_s"] < 10
    assert told["n_edits"] == sum(told["edits"].values())


def test_check_says_what_stands_against_it() -> None:
    assert "--runs: is 1, which shows no noise" in codegraft("check", "toy", "--runs", "1").stderr


def test_check_shows_a_baseline_that_fails_with_what_it_printed(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("print('about to fail')\nraise SystemExit('no data')\n")
    (tmp_path / "codegraft.toml").write_text(
        'name = "broken"\nmutable = ["train.py"]\ntrain = "train.py"\ntier = "self-reported"\nmetric = "loss"\n'
        'direction = "minimize"\n[budget]\nunit = "cpu_s"\namount = 5\n'
    )
    done = codegraft("check", str(tmp_path))
    assert done.returncode == 1
    assert "baseline, seed 0: failed: exit status 1: no data" in done.stderr
    assert "about to fail" in done.stderr


def test_the_table_of_targets_has_a_row_for_each() -> None:
    head, line, *others = rows()
    assert {row.count(" | ") for row in (head, *others)} == {line.count("|") - 2}
    assert any(row.startswith("| [toy](targets/toy) | a regression that trains in milliseconds |") for row in others)
