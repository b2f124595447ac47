"""Stopping a training before its budget is used up: who decides, what the trial can do about it, and what is left of it."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.launcher import Launcher
from harness.measure import Runner
from harness.meter import N_MARKS
from harness.orders import Allowance, Bounds, Order
from harness.sources import open_sources
from harness.supervisor import PATIENCE_S
from harness.values import Status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from graph.snapshot import Snapshot

TOY = open_sources("toy")
ENV = {"PYTHONHASHSEED": "0", "OPENBLAS_NUM_THREADS": "1", "CODEGRAFT_BUDGET_FD": "4"}
BOUNDS = Bounds(wall_s=60, cpu_s=20, memory_bytes=1 << 40, output_bytes=1 << 20, threads=1)
ASKING = """
import os, signal, struct, time
def ask(hint):
    os.write(4, struct.pack("<dd", 1.0, hint))
def answer():
    return struct.unpack("<d", os.read(4, 8))[0]
"""


@dataclass
class After:
    """Stops at a mark, and remembers what it was asked."""

    n_marks: int
    audited: bool = False
    asked: list[tuple[float, ...]] = field(default_factory=list)
    cpus_s: list[float] = field(default_factory=list)

    def verdict(self, curve: Sequence[float], cpu_s: float = 0.0) -> str:
        self.asked.append(tuple(curve))
        self.cpus_s.append(cpu_s)
        return f"enough at {len(curve)}" if len(curve) >= self.n_marks else ""


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        with Runner(TOY.trainable, n_slots=2) as runner:
            yield runner


@pytest.fixture(scope="module")
def launcher(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launcher]:
    with Launcher(("numpy",), tmp_path_factory.mktemp("scratch"), ENV) as launcher:
        launcher.wait_until_ready()
        yield launcher


def order(folder: Path, *lines: str, steps: float = N_MARKS, asks: bool = True) -> Order:
    """A script that asks for itself, with one step to a mark."""
    (folder / "script.py").write_text("\n".join((ASKING, *lines)))
    return Order(("script.py",), str(folder), ENV, BOUNDS, Allowance("steps", steps), asks=asks)


def trained_with(old: str, new: str) -> Snapshot:
    text = TOY.snapshot.files["train.py"].decode()
    assert old in text
    return TOY.snapshot.with_files({"train.py": text.replace(old, new).encode()}, edit="by hand")


# --- the decision


def test_a_stopped_run_ends_at_its_mark_with_its_reason_and_without_a_metric(runner):
    outcome = runner.run(TOY.snapshot, 1, rule=After(5))
    assert (outcome.status, outcome.detail) == (Status.STOPPED, "enough at 5")
    assert math.isnan(outcome.metric)
    assert len(outcome.curve) == 5
    assert outcome.steps == 5 * 60 // N_MARKS + 1  # the last grant was held back
    assert math.isnan(outcome.doomed_at)


def test_a_rule_is_asked_once_a_mark_and_sees_what_is_complete(runner):
    rule = After(N_MARKS)
    outcome = runner.run(TOY.snapshot, 1, rule=rule)
    assert outcome.ok
    assert rule.asked == [outcome.curve[:n] for n in range(1, N_MARKS)]
    assert outcome.curve == runner.run(TOY.snapshot, 1).curve
    assert outcome.metric == runner.run(TOY.snapshot, 1).metric


def test_an_audited_run_goes_on_to_its_end_and_says_where_it_was_doomed(runner):
    rule = After(4, audited=True)
    outcome = runner.run(TOY.snapshot, 1, rule=rule)
    assert (outcome.status, outcome.doomed_at) == (Status.OK, 4 / N_MARKS)
    assert outcome.metric == runner.run(TOY.snapshot, 1).metric
    assert len(rule.asked) == 4  # what is decided is not asked again


def test_a_run_without_a_rule_is_never_held_back(launcher, tmp_path):
    script = order(tmp_path, *(["ask(1.0); print(answer())"] * 3), asks=False)
    started = launcher.start(script)
    time.sleep(0)  # nobody waits at the door yet, and the training does not notice
    assert started.wait(After(0)).log.split() == ["0.0", "0.05", "0.1"]


def test_a_training_that_hints_at_nothing_is_asked_about_with_an_empty_curve(runner):
    rule = After(1)
    silent = trained_with("budget.spend(model.predict, inputs[batch], outputs[batch])", "budget.spend()")
    assert runner.run(silent, 1, rule=rule).ok
    assert set(rule.asked) == {()}


# --- what a trial can do about it


def test_a_trial_that_ignores_sigterm_is_killed_after_the_grace(launcher, tmp_path):
    lines = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nwhile True: ask(1.0); answer()"
    ending = launcher.start(order(tmp_path, lines)).wait(After(3))
    assert (ending.status, ending.detail) == (Status.STOPPED, "enough at 3")
    assert ending.wall_s < 20


def test_a_trial_that_ends_well_when_it_is_told_to_stop_is_stopped_all_the_same(launcher, tmp_path):
    lines = "signal.signal(signal.SIGTERM, lambda *_: os._exit(0))\nwhile True: ask(1.0); answer()"
    ending = launcher.start(order(tmp_path, lines)).wait(After(3))
    assert (ending.status, ending.detail) == (Status.STOPPED, "enough at 3")


def test_a_trial_that_does_not_wait_for_its_answers_gets_no_more_of_them(launcher, tmp_path):
    lines = "for _ in range(5): ask(1.0)\nprint([answer() for _ in range(5)])"
    rule = After(N_MARKS)
    ending = launcher.start(order(tmp_path, lines)).wait(rule)
    assert ending.log.split() == ["[0.0,", "0.05,", "0.1,", "0.15,", "0.2]"]
    assert [len(curve) for curve in rule.asked] == [1, 2, 3, 4]


@pytest.mark.parametrize("hint", ["float('nan')", "1e308", "-1e308", "float('-inf')"])
def test_hints_of_any_value_reach_the_rule_as_numbers(launcher, tmp_path, hint):
    rule = After(2)
    ending = launcher.start(order(tmp_path, f"while True: ask({hint}); answer()")).wait(rule)
    assert ending.status is Status.STOPPED
    assert all(isinstance(mark, float) and not math.isnan(mark) for mark in rule.asked[-1])


def test_a_rule_is_told_what_the_whole_training_will_cost(launcher, tmp_path):
    work = "began = time.process_time()\nwhile time.process_time() < began + 0.1: pass"
    lines = ["for step in range(6):", *(f"    {line}" for line in ("ask(1.0)", "answer()", *work.splitlines()))]
    rule = After(5)
    assert launcher.start(order(tmp_path, *lines)).wait(rule).status is Status.STOPPED
    assert 0.1 * N_MARKS < rule.cpus_s[-1] < 0.2 * N_MARKS


def test_claimed_work_skips_marks_and_is_asked_about_once(launcher, tmp_path):
    lines = 'ask(3.0); answer()\nos.write(4, struct.pack("<dd", 9.0, 2.0)); print(answer())'
    rule = After(N_MARKS)
    ending = launcher.start(order(tmp_path, lines)).wait(rule)
    assert ending.log.strip() == "0.45"
    ((first, *others),) = rule.asked
    assert (first, len(others), all(map(math.isnan, others))) == (2.5, 8, True)


# --- the owner of a run


def test_a_cancelled_run_says_so_and_leaves_nothing(launcher, tmp_path):
    run = launcher.start(order(tmp_path, "open('up', 'w').write(str(os.getpid())); time.sleep(600)"))
    assert wait_for(lambda: (tmp_path / "up").exists() and (tmp_path / "up").read_text())
    run.cancel()
    ending = run.wait()
    assert ending.status is Status.CANCELLED
    assert not Path(f"/proc/{(tmp_path / 'up').read_text()}").exists()


def test_a_run_that_is_cancelled_while_it_waits_for_an_answer_is_cancelled(launcher, tmp_path):
    run = launcher.start(order(tmp_path, "while True: ask(1.0); answer()"))

    class Cancels(After):
        def verdict(self, curve: Sequence[float], cpu_s: float = 0.0) -> str:
            run.cancel()
            return super().verdict(curve, cpu_s)

    assert run.wait(Cancels(1)).status is Status.CANCELLED


def test_a_rule_that_raises_ends_the_run_and_the_error_rises(launcher, tmp_path):
    class Broken(After):
        def verdict(self, curve: Sequence[float], cpu_s: float = 0.0) -> str:
            raise ZeroDivisionError

    run = launcher.start(order(tmp_path, "open('up', 'w').write(str(os.getpid()))\nwhile True: ask(1.0); answer()"))
    with pytest.raises(ZeroDivisionError):
        run.wait(Broken(1))
    assert wait_for(lambda: not Path(f"/proc/{(tmp_path / 'up').read_text()}").exists())


@pytest.mark.slow
def test_a_training_whose_owner_does_not_answer_goes_on_after_a_while(launcher, tmp_path):
    run = launcher.start(order(tmp_path, "for _ in range(5): ask(1.0); answer()"))

    class Late(After):
        def verdict(self, curve: Sequence[float], cpu_s: float = 0.0) -> str:
            time.sleep(PATIENCE_S + 2)
            return super().verdict(curve, cpu_s)

    rule = Late(1)
    ending = run.wait(rule)
    assert (ending.status, len(rule.asked)) == (Status.OK, 1)


def wait_for(is_so: Callable[[], bool], seconds: float = 20.0) -> bool:
    deadline = time.monotonic() + seconds
    while not is_so() and time.monotonic() < deadline:
        time.sleep(0.02)
    return is_so()
