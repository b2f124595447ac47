"""One campaign in a process of its own, by the command line's own code: what each trial cost, as JSON.

    python -m bench.overhead_loop TARGET LAUNCH TRIALS WINDOW

A trial costs what passes between its line and the line before, in this process and in all that it started. The CPU time of other
processes is known in ticks of 10 ms, so it is read once per WINDOW trials and its mean stands for the window. Duplicates run nothing
and are left out.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
import time
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

from harness.cli import commands
from harness.processes import descendants

_RAN = re.compile(r"trial \d+  (keep|discard|not proven)")


class Meter(StringIO):
    """A standard output that looks at the clocks when a trial's line is written."""

    def __init__(self, window: int) -> None:
        super().__init__()
        self.walls_s: list[float] = []
        self.cpus_s: list[float] = []
        self._window = window
        self._n_ran = 0
        self._since = (time.monotonic(), _cpu_s())

    def write(self, text: str) -> int:
        """Take in what the campaign prints."""
        if text.startswith(("trial ", "baseline")):
            self._end_trial(is_counted=_RAN.match(text) is not None)
        return len(text)

    def _end_trial(self, *, is_counted: bool) -> None:
        wall_s, (began, cpu_began_s) = time.monotonic(), self._since
        if is_counted:
            self.walls_s.append(wall_s - began)
            self._n_ran += 1
        if not is_counted or self._n_ran == self._window:
            if is_counted:
                self.cpus_s.append((_cpu_s() - cpu_began_s) / self._n_ran)
            self._n_ran, cpu_began_s = 0, _cpu_s()
        self._since = (time.monotonic(), cpu_began_s)


def _cpu_s() -> float:
    """Return the CPU time of this process and of all that it started, ended or not."""
    return sum(process.cpu_s for process in descendants(os.getpid())) + time.process_time()


def main() -> None:
    """Run the campaign of the command line."""
    target, launch, trials, window = sys.argv[1:]
    said = Meter(int(window))
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(said):
        options = [
            "--policy",
            "random",
            "--slots",
            "1",
            "--trials",
            trials,
            "--launch",
            launch,
            "--out",
            f"{folder}/out",
        ]
        commands.main(["search", target, *options], standalone_mode=False)
    status = Path("/proc/self/status").read_text()
    peak_mb = int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024  # type: ignore[index]  # man 5 proc_pid_status
    sys.stdout.write(json.dumps({"walls_s": said.walls_s, "cpus_s": said.cpus_s, "peak_mb": peak_mb}))


if __name__ == "__main__":
    main()
