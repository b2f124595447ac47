"""What keeps a run cheap: what the launcher does once, and no fork of it again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from harness.launcher import Launcher
from harness.orders import Bounds, Order
from harness.processes import _listed_children, _sought_children
from harness.workspace import Workspace

if TYPE_CHECKING:
    from pathlib import Path

BOUNDS = Bounds(wall_s=20, cpu_s=20, memory_bytes=1 << 40, output_bytes=1 << 20, threads=1)
PEAK_MB = 150  # of a controller whose policy has no weights
HEAVY = {"torch", "transformers", "matplotlib", "optuna", "scipy", "pyarrow", "ray"}
ENV = {"PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def run_script(launcher: Launcher, folder: Path, script: str) -> str:
    """Run a script in a fork of the launcher and return what it printed."""
    launcher.wait_until_ready()
    with Workspace(folder, {"script.py": script.encode()}) as space:
        ending = launcher.start(Order(("script.py",), str(space.work), ENV, BOUNDS)).wait()
    assert ending.ok, ending
    return ending.log


def test_fork_leaves_to_the_launcher_what_libraries_tidy_up_at_the_end(tmp_path: Path) -> None:
    (tmp_path / "tidy.py").write_text(
        f"import os, weakref\nclass Library: pass\nlibrary = Library()\n"
        f"weakref.finalize(library, lambda: open({str(tmp_path)!r} + f'/tidied{{os.getpid()}}', 'w'))\n"
    )
    with Launcher(("tidy",), tmp_path / "scratch", {**ENV, "PYTHONPATH": str(tmp_path)}) as launcher:
        said = run_script(launcher, tmp_path, "import tidy, weakref\nweakref.finalize(tidy, print, 'my own')")
        assert said == "my own\n"
        assert not list(tmp_path.glob("tidied*"))
    assert len(list(tmp_path.glob("tidied*"))) == 1  # by the launcher


def test_fork_finds_what_numpy_puts_off_already_there(tmp_path: Path) -> None:
    script = "import sys\nprint({'numpy.ma', 'numpy.random'} <= set(sys.modules))"
    with Launcher(("numpy",), tmp_path / "scratch", ENV) as launcher:
        assert run_script(launcher, tmp_path, script) == "True\n"


def test_collapsed_memory_is_in_large_pages() -> None:
    script = """
import re
from harness.pages import collapse_pages
block = bytearray(b"x") * (8 << 20)
def large(): return int(re.search(r"AnonHugePages: +(\\d+)", open("/proc/self/smaps_rollup").read())[1])
before = large()
collapse_pages()
print(large() - before, block == bytearray(b"x") * (8 << 20))
"""
    gained, is_whole = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True).stdout.split()
    assert is_whole == b"True"
    if int(gained) == 0:
        pytest.skip("this kernel collapses no pages")
    assert int(gained) >= 6 << 10  # kB: 8 MB less what does not lie on a boundary


def test_lists_of_children_say_what_a_search_says() -> None:
    script = "import subprocess as s, sys, threading\nstart = lambda: s.Popen(['sleep', '60'])\n"
    script += "start()\nt = threading.Thread(target=start)\nt.start()\nt.join()\nprint(flush=True)\nsys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        listed, sought = _listed_children(parent.pid), _sought_children()(parent.pid)
        for process in listed:
            os.kill(process.pid, signal.SIGKILL)
        parent.communicate()
    assert {process.pid for process in listed} == {process.pid for process in sought}
    assert len(listed) == 2


@pytest.mark.parametrize("policy", ["random", pytest.param("local", marks=pytest.mark.slow)])
def test_search_without_weights_stays_small(tmp_path: Path, policy: str) -> None:
    options = ["--policy", policy, "--trials", "2", "--replicates", "2", "--out", str(tmp_path / "out")]
    script = f"""
import re, sys
from harness.cli import commands
commands.main({["search", "toy", *options]!r}, standalone_mode=False)
print(re.search(r"VmHWM:\\s*(\\d+)", open("/proc/self/status").read())[1])
print({HEAVY!r} & set(sys.modules))
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    peak_kb, heavy = ended.stdout.splitlines()[-2:]
    assert heavy == "set()"
    assert int(peak_kb) < PEAK_MB << 10
