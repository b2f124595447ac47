"""Slots: what a run has for itself, and what a machine is too small for."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from graph.snapshot import read_snapshot
from harness.measure import Runner
from harness.slots import Machine, Slots
from harness.values import TrialError
from targets.manifest import load_target

SMALL = Machine(n_processors=2, memory_bytes=8 << 30)


def test_no_two_runs_have_a_gpu_at_the_same_time() -> None:
    slots, together = Slots(2, ("0", "3")), threading.Barrier(2)
    busy, seen = set[str](), list[str]()

    def run(_: int) -> None:
        with slots.take():
            gpu = slots.environment()["CUDA_VISIBLE_DEVICES"]
            assert gpu not in busy
            busy.add(gpu)
            seen.append(gpu)
            together.wait(10)
            busy.remove(gpu)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(run, range(6)))
    assert sorted(seen) == ["0"] * 3 + ["3"] * 3


def test_slot_comes_back_from_a_run_that_fails() -> None:
    slots = Slots(1, ("0",))
    for _ in range(2):
        with pytest.raises(KeyError), slots.take():
            raise KeyError
    assert slots.environment() == {}


def test_run_without_gpus_sees_what_the_user_sees() -> None:
    slots = Slots(1)
    with slots.take():
        assert slots.environment() == {}


@pytest.mark.parametrize(
    ("n_slots", "gpus", "said"),
    [
        (3, ("0", "1"), r"slots: are 3, and GPUs are 2 \(0,1\); give a GPU per slot"),
        (2, ("1", "1"), "gpus: are 1,1; name each once"),
    ],
)
def test_gpus_that_are_not_one_per_slot_are_refused(n_slots: int, gpus: tuple[str, ...], said: str) -> None:
    with pytest.raises(TrialError, match=said):
        Slots(n_slots, gpus)


def test_memory_that_the_machine_has_not_is_refused() -> None:
    Slots(2).refuse_overcommitment(4 << 30, SMALL)
    with pytest.raises(
        TrialError, match="slots: are 3 of 4096 MB each, and the machine has 8192 MB; give at most 2 slots"
    ):
        Slots(3).refuse_overcommitment(4 << 30, SMALL)
    with pytest.raises(TrialError, match="give less memory_mb"):
        Slots(1).refuse_overcommitment(9 << 30, SMALL)


def test_more_threads_than_processors_are_pointed_out_and_left_alone() -> None:
    assert Slots(2).crowding(1, SMALL) == ""
    assert Slots(2).crowding(4, SMALL).startswith("slots: 2 of 4 threads share 2 processors; 1 threads each")


def test_machine_is_not_larger_than_it_is() -> None:
    machine = Machine.look()
    assert 0 < machine.n_processors <= 4096
    assert 100 << 20 < machine.memory_bytes < 1 << 50


def test_run_has_the_gpu_of_its_slot_in_its_environment(tmp_path_factory: pytest.TempPathFactory) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        target = load_target(Path(__file__).parents[1] / "targets" / "toy")
        snapshot = read_snapshot(target.root_dir, target.mutable, frozen=target.frozen)
        told = snapshot.files["train.py"] + b"\nimport os\nprint('GPU', os.environ['CUDA_VISIBLE_DEVICES'])\n"
        with Runner(target, launch="exec", gpus=("5", "7"), n_slots=2) as runner:
            outcomes = [runner.smoke(snapshot.with_files({"train.py": told}, edit="test"), 1).outcome for _ in range(2)]
    assert [outcome.log_tail for outcome in outcomes] == ["GPU 5\n", "GPU 5\n"]


def test_slots_that_do_not_fit_are_refused_before_anything_starts() -> None:
    target = load_target(Path(__file__).parents[1] / "targets" / "toy")
    with pytest.raises(TrialError, match="slots: are 100000 of"):
        Runner(target, n_slots=100_000).__enter__()


def test_crowded_slots_are_said_and_threads_stay_as_they_are() -> None:
    target = load_target(Path(__file__).parents[1] / "targets" / "toy")
    limits = target.limits.model_copy(update={"threads": 1 + (os.cpu_count() or 1)})
    said = list[str]()
    runner = Runner(target.model_copy(update={"limits": limits}), isolation="no such", announce=said.append)
    with pytest.raises(TrialError, match="isolation: is 'no such'"):
        runner.__enter__()
    assert "processors" in said[0]
    assert runner._bounds.threads == limits.threads


def test_gpus_and_a_container_are_refused() -> None:
    target = load_target(Path(__file__).parents[1] / "targets" / "toy")
    with pytest.raises(TrialError, match="gpus: are not passed into containers"):
        Runner(target, gpus=("0",), isolation="container:torch@sha256:" + "0" * 64)
