"""Measure what a trial costs beyond its training: forks of the launcher, fresh interpreters and autoresearch-rl's loop, side by side.

    python -m bench.overhead --trials 1000

Every trial of a target without training is overhead: proposal, render and verification, store and ledger, training process, scorer, two
predictors, judging, tidying up. All of it counts, of every process. Ours run the campaign of the command line on one slot
(bench/overhead_loop.py says how it is measured), autoresearch-rl runs its own loop in an environment that is made for it below build/
(bench/overhead_peer.py says what is equal). Other work on the machine lengthens walls and, through its caches, CPU: compare within one run.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import venv
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles

import click

from bench.noop import write_noop

_ROOT = Path(__file__).parent.parent
_PEER = "autoresearch-rl==0.5.0"
_WINDOW = 10  # trials whose CPU is read together
_N_STARTS = 10  # of `codegraft --help`
_IMPORTS = ("numpy", "safetensors.numpy")


@dataclass(frozen=True, slots=True)
class Costs:
    """What the trials of one loop cost. Units: seconds per trial, MB."""

    name: str
    walls_s: tuple[float, ...]
    cpus_s: tuple[float, ...]
    peak_mb: float  # of the controller

    def line(self) -> str:
        """Print a row of the table."""
        cpu, wall = (_percentiles(values) for values in (self.cpus_s, self.walls_s))
        figures = "".join(f"{1e3 * value:>10,.0f}" for value in (*cpu, *wall))
        return f"{self.name:<28}{len(self.walls_s):>7}{figures}{self.peak_mb:>12.0f}"


def _percentiles(values: tuple[float, ...]) -> tuple[float, float]:
    """Return median and 95th percentile."""
    cuts = quantiles(values, n=20, method="inclusive") if len(values) > 1 else [*values] * 19
    return cuts[9], cuts[18]


def _measure(name: str, *command: str) -> Costs:
    said = subprocess.run(command, cwd=_ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    found = json.loads(said.splitlines()[-1])
    costs = Costs(name, tuple(found["walls_s"]), tuple(found["cpus_s"]), found["peak_mb"])
    click.echo(costs.line())
    return costs


def _measure_ours(name: str, folder: Path, launch: str, n_trials: int) -> Costs:
    window = _WINDOW if launch == "zygote" else 1
    return _measure(name, sys.executable, "-m", "bench.overhead_loop", str(folder), launch, str(n_trials), str(window))


def peer_python() -> str:
    """Return the interpreter of an environment with autoresearch-rl, which is made when there is none."""
    folder = _ROOT / "build" / "peer"
    python = folder / "bin" / "python"
    if not (folder / "done").exists():
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", _PEER], check=True)
        (folder / "done").touch()
    return str(python)


def measure_target(n_trials: int, *, with_torch: bool, peer: bool) -> None:
    """Print the rows of one target, and their ratios. Exec and peer run fewer trials: each takes seconds with torch."""
    n_slow = max(3, n_trials // (100 if with_torch else 50))
    what = "torch" if with_torch else "numpy"
    with tempfile.TemporaryDirectory() as scratch:
        folder = write_noop(Path(scratch, "noop"), n_trials, with_torch=with_torch)
        fork = _measure_ours(f"{what}: codegraft, zygote", folder, "zygote", n_trials)
        others = [_measure_ours(f"{what}: codegraft, exec", folder, "exec", n_slow)]
    if peer:
        imports = ",".join((*_IMPORTS, *(["torch"] if with_torch else [])))
        command = (peer_python(), "bench/overhead_peer.py", sys.executable, imports, str(n_slow))
        others.append(_measure(f"{what}: autoresearch-rl 0.5.0", *command))
    for other in others:
        ratios = [
            _percentiles(of(other))[0] / _percentiles(of(fork))[0] for of in (lambda c: c.cpus_s, lambda c: c.walls_s)
        ]
        click.echo(f"{other.name} / zygote: {ratios[0]:.1f} x CPU, {ratios[1]:.1f} x wall (medians)")


def measure_help() -> None:
    """Print what the command line costs before it does anything, next to an interpreter that does nothing."""
    program = "import sys; from harness.cli import main; sys.argv = ['codegraft', '--help']; main()"
    bare, ours = (min(_start_s(code) for _ in range(_N_STARTS)) for code in ("pass", program))
    click.echo(
        f"codegraft --help: {1e3 * ours:.0f} ms CPU, {ours / bare:.1f} x an interpreter that does nothing ({1e3 * bare:.0f} ms)"
    )


def _start_s(program: str) -> float:
    """Return the CPU time of an interpreter that runs a program."""
    code = "import resource, subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]], stdout=subprocess.DEVNULL, check=True);"
    code += "u = resource.getrusage(resource.RUSAGE_CHILDREN); print(u.ru_utime + u.ru_stime)"
    return float(
        subprocess.run([sys.executable, "-c", code, program], cwd=_ROOT, check=True, stdout=subprocess.PIPE).stdout
    )


@click.command()
@click.option(
    "--trials", "n_trials", type=click.IntRange(3), default=1000, show_default=True, help="No-op trials with forks."
)
@click.option(
    "--peer/--no-peer", default=True, show_default=True, help=f"Run {_PEER} as well; it is installed below build/."
)
def main(n_trials: int, peer: bool) -> None:
    """Print p50 and p95 per trial of a target without training, CPU of all processes and wall."""
    measure_help()
    head = "".join(f"{name:>10}" for name in ("CPU p50", "p95", "wall p50", "p95"))
    click.echo(f"{'ms per no-op trial':<28}{'trials':>7}{head}{'peak MB':>12}")
    for with_torch in (False, True):
        measure_target(n_trials, with_torch=with_torch, peer=peer)


if __name__ == "__main__":
    main()
