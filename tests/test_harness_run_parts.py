"""The parts of a run by themselves, each guard next to what happens without it."""

from __future__ import annotations

import json
import math
import os
import signal
import socket
import struct
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from harness.frames import MAX_BYTES, FrameError, receive_array, send_array
from harness.launcher import Launcher
from harness.meter import N_MARKS, Hints, Meter
from harness.orders import Access, Allowance, Bounds, Order, parse_order
from harness.processes import descendants
from harness.supervisor import Ring
from harness.values import Status
from harness.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

BOUNDS = Bounds(wall_s=20, cpu_s=20, memory_bytes=1 << 40, output_bytes=1 << 20, threads=1)
ENV = {"PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


@pytest.fixture(scope="module", params=[("numpy",), ()], ids=["zygote", "exec"])
def launcher(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launcher]:
    with Launcher(request.param, tmp_path_factory.mktemp("scratch"), ENV) as launcher:
        launcher.wait_until_ready()
        yield launcher


# --- frames


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6).reshape(2, 3),
        np.zeros((0, 4), np.float32),
        np.float16(1.5),
        np.arange(8.0).reshape(2, 4).T,
        np.arange(3, dtype=">i4"),
        np.array([True, False]),
    ],
    ids=["integers", "empty", "scalar", "transposed", "big-endian", "truth"],
)
def test_array_arrives_as_it_was_sent(array: NDArray[Any]) -> None:
    near, far = socket.socketpair()
    with near, far:
        send_array(near, np.asarray(array))
        near.close()
        arrived = receive_array(far)
        assert arrived is not None
        np.testing.assert_array_equal(arrived, array)
        assert arrived.dtype.name == array.dtype.name
        assert arrived.flags.writeable
        assert receive_array(far) is None


@pytest.mark.parametrize(
    "data",
    [
        b"\x01",
        struct.pack("<I", 1 << 31),
        struct.pack("<I", 4) + b"\xff\xfe{]",
        struct.pack("<I", 900) + b"[" * 900,
        *(
            struct.pack("<I", len(header)) + header
            for header in (
                b"[]",
                b"{}",
                b'{"dtype": "object", "shape": [1]}',
                b'{"dtype": 3, "shape": [1]}',
                b'{"dtype": "int8", "shape": 3}',
                b'{"dtype": "int8", "shape": [-1]}',
                b'{"dtype": "int8", "shape": [1.5]}',
                b'{"dtype": "int8", "shape": [true]}',
                json.dumps({"dtype": "int8", "shape": [1 << 40, 0]}).encode()[:-3] + b"2]}",
                json.dumps({"dtype": "int8", "shape": [MAX_BYTES + 1]}).encode(),
                json.dumps({"dtype": "int8", "shape": [1] * 60}).encode(),
                b'{"dtype": "int8", "shape": [4]}abc',
            )
        ),
    ],
)
def test_what_is_no_frame_is_an_error(data: bytes) -> None:
    near, far = socket.socketpair()
    with near, far:
        near.sendall(data)
        near.close()
        with pytest.raises(FrameError):
            receive_array(far)


def test_objects_cannot_be_sent() -> None:
    near, far = socket.socketpair()
    with near, far, pytest.raises(FrameError, match="dtype is 'object'"):
        send_array(near, np.array([None]))


# --- budgets and output


def test_budget_of_steps_is_used_up_by_steps() -> None:
    meter = Meter(Allowance("steps", 4), clock=lambda: 0.0)
    assert [meter.grant(0.0)] + [meter.grant(1.0) for _ in range(5)] == [0.0, 0.25, 0.5, 0.75, 1.0, 1.25]
    assert (meter.n_granted, meter.n_overrun) == (4, 2)


@pytest.mark.parametrize("reported", [0.0, -5.0, 0.1, math.nan, -math.inf])
def test_reporting_less_than_a_step_still_costs_one(reported: float) -> None:
    meter = Meter(Allowance("steps", 2), clock=lambda: 0.0)
    assert [meter.grant(reported) for _ in range(3)] == [0.0, 0.5, 1.0]


def test_budget_of_tokens_is_used_up_by_tokens() -> None:
    meter = Meter(Allowance("tokens", 1000), clock=lambda: 0.0)
    assert [meter.grant(0.0), meter.grant(256.0), meter.grant(256.0)] == [0.0, 0.256, 0.512]
    assert meter.grant(math.inf) == math.inf


@pytest.mark.parametrize("unit", ["cpu_s", "wall_s"])
def test_budget_of_time_runs_from_the_first_question_whatever_is_reported(unit: str) -> None:
    times = iter([7.0, 7.0, 8.0, 12.0])
    meter = Meter(Allowance(unit, 4), clock=lambda: next(times))
    assert [meter.grant(99.0) for _ in range(3)] == [0.0, 0.25, 1.25]


def test_curve_is_the_mean_of_the_hints_over_each_part_of_the_budget() -> None:
    hints = Hints()
    assert hints.curve(1.0) == ()
    for progress, hint in ((0.0, 4.0), (0.04, 2.0), (0.05, 1.0), (0.99, 0.5), (7.0, 0.7)):
        hints.add(progress, hint)
    curve = hints.curve(1.5)
    assert (len(curve), curve[:2], curve[-1]) == (N_MARKS, (3.0, 1.0), 0.6)
    assert all(math.isnan(mark) for mark in curve[2:-1])
    assert hints.curve(0.099) == (3.0,)


@pytest.mark.parametrize("hint", [math.nan, math.inf, -math.inf])
def test_hint_that_is_no_number_makes_its_mark_infinite_and_no_other(hint: float) -> None:
    hints = Hints()
    for progress, said in ((0.0, 1.0), (0.01, hint), (0.06, 1e308), (0.07, 1e308), (0.11, -1e308), (0.16, 2.0)):
        hints.add(progress, said)
    assert hints.curve(0.2) == (math.inf, math.inf, -1e308, 2.0)


def test_ring_keeps_the_first_and_the_last_part() -> None:
    ring = Ring()
    for i in range(100_000):
        ring.write(b"line %d\n" % i)
    text = ring.text()
    assert text.startswith("line 0\nline 1\n")
    assert text.endswith("line 99998\nline 99999\n")
    assert f"{ring.n_bytes - (64 << 10)} bytes left out" in text


def test_ring_keeps_all_of_a_short_output() -> None:
    ring = Ring()
    ring.write(b"a \xff b\n")
    assert ring.text() == "a \ufffd b\n"


# --- launches and the sandbox


def test_order_survives_the_way_to_the_launcher() -> None:
    order = Order(("train.py",), "/x", {"A": "b"}, BOUNDS, Allowance("steps", 3), Access(("/a",), ("/b", "/c")))
    assert parse_order(order.to_json()) == order


def order_for(script: str, space: Workspace, access: Access | None) -> Order:
    (space.work / "script.py").write_text(script)
    return Order(("script.py",), str(space.work), ENV, BOUNDS, access=access)


@pytest.mark.parametrize("is_confined", [True, False], ids=["confined", "not confined"])
def test_sandbox_and_nothing_else_hides_the_files(launcher: Launcher, tmp_path: Path, is_confined: bool) -> None:
    secret = tmp_path / "secret"
    secret.write_text("swordfish")
    with Workspace(tmp_path, {}) as space:
        access = Access((), (str(space.work),)) if is_confined else None
        ending = launcher.start(order_for(f"print(open({str(secret)!r}).read())", space, access)).wait()
    if "landlock" in ending.isolation:
        assert ending.status is Status.FAILED
        assert "PermissionError" in ending.detail
    else:
        assert (ending.status, ending.log, ending.isolation) == (Status.OK, "swordfish\n", "posix")


@pytest.mark.parametrize(
    ("script", "status", "said"),
    [
        ("raise SystemExit", Status.OK, ""),
        ("raise SystemExit('no luck')", Status.FAILED, "exit status 1: no luck"),
        ("raise SystemExit(3)", Status.FAILED, "exit status 3: it printed nothing"),
        ("import os; os._exit(9)", Status.FAILED, "exit status 9"),
        ("import os; os.kill(os.getpid(), 11)", Status.FAILED, "killed by SIGSEGV"),
        ("import os; os.kill(os.getpid(), 9)", Status.OOM, "SIGKILL"),
        ("def broken(:", Status.FAILED, "SyntaxError"),
        ("import os\nwhile True: os.fork()", Status.FAILED, "more than 256 processes"),
        (
            "import threading, time; threading.Thread(target=lambda: (time.sleep(0.2), print('end'))).start()",
            Status.OK,
            "",
        ),
        ("from concurrent.futures import ThreadPoolExecutor as T; T(1).submit(print, 'end').result()", Status.OK, ""),
        ("import atexit; atexit.register(print, 'end')", Status.OK, ""),
    ],
)
def test_end_of_a_process_is_told_apart(
    launcher: Launcher, tmp_path: Path, script: str, status: Status, said: str
) -> None:
    with Workspace(tmp_path, {}) as space:
        ending = launcher.start(order_for(script, space, None)).wait()
    assert ending.status is status, ending
    assert said in ending.detail
    assert ending.log == "end\n" or "end" not in script


@pytest.mark.parametrize("victim", ["launcher", "supervisor"])
def test_trial_does_not_outlive_what_watches_it(tmp_path: Path, victim: str) -> None:
    script = "import os, time\nif os.fork() == 0: os.setsid()\nopen(f'up{os.getpid()}', 'w')\ntime.sleep(600)"
    with Launcher((), tmp_path / "scratch", ENV) as launcher, Workspace(tmp_path, {}) as space:
        launcher.wait_until_ready()
        run = launcher.start(order_for(script, space, None))
        assert wait_for(lambda: len(list(space.work.glob("up*"))) == 2)
        family = descendants(launcher.pid)
        assert len(family) == 3
        supervisor = next(process.pid for process in family if process.parent == launcher.pid)
        os.kill(supervisor if victim == "supervisor" else launcher.pid, signal.SIGKILL)
        assert run.wait().status is Status.INFRA_ERROR
        assert wait_for(lambda: not any(is_alive(process.pid) for process in family))


def is_alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2][:3]
    except OSError:
        return False


def wait_for(is_so: Callable[[], bool], seconds: float = 20.0) -> bool:
    deadline = time.monotonic() + seconds
    while not is_so() and time.monotonic() < deadline:
        time.sleep(0.05)
    return is_so()


def test_order_that_cannot_start_is_a_fault_of_ours(launcher: Launcher) -> None:
    ending = launcher.start(Order(("script.py",), "/nowhere", ENV, BOUNDS)).wait()
    assert ending.status is Status.INFRA_ERROR
    assert "FileNotFoundError" in ending.detail
