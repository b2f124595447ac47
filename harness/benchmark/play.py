"""The walks of a benchmark: policies times landscapes times seeds, in processes of one thread each, paired by seed.

A task is a group of runs: one landscape that was measured, or a synthetic family with a landscape of its own per seed.
"""

from __future__ import annotations

import os
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing import get_context
from typing import TYPE_CHECKING

from harness.benchmark.rows import add_rows, known_rows
from harness.landscape.ground import read_ground
from harness.landscape.synthetic import Family, generate
from harness.landscape.walk import Walk, walk
from policy.make import make_policy, make_ppo
from targets.shipped import landscapes_but, shipped_landscapes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from harness.benchmark.rows import Key
    from harness.landscape.ground import Ground
    from harness.landscape.landscape import Landscape
    from policy.checkpoint import Schooling
    from policy.protocol import Policy

FAMILY_SEED = 1000  # of the benchmark: no tuning and no training may see its tasks
_TARGET = "bytelm"  # whose edits the synthetic tasks stand on
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True, slots=True)
class Task:
    """What a policy is judged on: a measured landscape by its target, or a family on a target's edits."""

    target: str
    family: Family | None = None

    @property
    def name(self) -> str:
        """How tables call it."""
        if self.family is None:
            return self.target
        return f"{self.target}/rho {self.family.rho:g}/noise {self.family.noise:g}"


@dataclass(frozen=True, slots=True)
class Job:
    """One walk to do."""

    task: Task
    policy: str
    seed: int
    n_trials: int

    @property
    def key(self) -> Key:
        """Which walk it is."""
        return self.task.name, self.policy, self.seed, self.n_trials


@dataclass(frozen=True, slots=True)
class Played:
    """One walk that was done: a row of results.jsonl."""

    task: str
    policy: str
    seed: int
    gains: tuple[float, ...]  # true share gained by the incumbent, after each trial
    n_runs: int  # of trainings, with confirmations
    cpu_s: float

    @property
    def key(self) -> Key:
        """Which walk it was."""
        return self.task, self.policy, self.seed, len(self.gains)


def play(job: Job) -> Played:
    """Carry one walk out.

    Raises: PolicyError: the policy cannot be made. TargetError: there is no such target.
    """
    if job.policy != "ppo":
        return play_with(make_policy(job.policy, job.seed), job)
    policy = make_ppo(job.seed)
    policy.take(schooling_for(job.task))
    return play_with(policy, job)


def play_with(policy: Policy, job: Job, begin: Callable[[Landscape, int, int], Walk] = Walk) -> Played:
    """Carry one walk out with a policy that stands at the beginning of a campaign."""
    landscape = _open(job.task, job.seed if job.task.family is not None else 0)
    began_s = time.process_time()
    course = walk(landscape, policy, seed=job.seed, n_trials=job.n_trials, begin=begin)
    gains = tuple(round(gain, 6) for gain in course.gains)
    return Played(job.task.name, job.policy, job.seed, gains, course.n_runs, time.process_time() - began_s)


def synthetic_families() -> tuple[Task, ...]:
    """List the synthetic families of the benchmark: what tasks share, times noise."""
    return tuple(Task(_TARGET, Family(FAMILY_SEED, rho, noise)) for noise in (0.5, 1.0) for rho in (0.0, 0.4, 0.7))


def plan_jobs(policies: Sequence[str], n_seeds: int, n_trials: int) -> list[Job]:
    """List the walks of all policies on all tasks, those on one landscape one after the other."""
    tasks = (*(Task(name) for name in shipped_landscapes()), *synthetic_families())
    return [Job(task, name, seed, n_trials) for task in tasks for seed in range(n_seeds) for name in policies]


def play_missing(
    path: Path,
    jobs: Sequence[Job],
    n_processes: int,
    announce: Callable[[str], None],
    play_one: Callable[[Job], Played] = play,
) -> list[Played]:
    """Play the walks that results.jsonl does not know, add them to it, and return all, in the order of the jobs.

    Raises: TrialError: a line of the file is no walk.
    """
    known = known_rows(path, Played, [job.key for job in jobs])
    missing = [job for job in jobs if job.key not in known]
    if known:
        announce(f"{len(known)} of {len(jobs)} walks are in {path} and not played again")
    n_together = len({job.policy for job in jobs})
    for each in add_rows(path, play_all(missing, n_processes=n_processes, n_together=n_together, play_one=play_one)):
        known[each.key] = each
        if len(known) % n_together == 0:
            announce(f"{len(known)} of {len(jobs)} walks: {each.task}, seed {each.seed}")
    return [known[job.key] for job in jobs]


def play_all(
    jobs: Sequence[Job], *, n_processes: int, n_together: int, play_one: Callable[[Job], Played]
) -> Iterator[Played]:
    """Carry all walks out, so many after each other in one process, and yield them in their order."""
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ |= dict.fromkeys(_THREADS, "1")  # as the processes find it when they start
    try:
        with ProcessPoolExecutor(n_processes, mp_context=get_context("spawn")) as pool:
            yield from pool.map(play_one, jobs, chunksize=n_together)
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def schooling_for(task: Task) -> Schooling:
    """Return what a policy may know that plays a task: of a family its other tasks, of a target all landscapes but its own."""
    from harness.pretrain import schooling_of  # noqa: PLC0415 - brings torch

    return schooling_of(landscapes_but(task.target) if task.family is None else task.family.seed)


@lru_cache(maxsize=8)
def _open(task: Task, number: int) -> Landscape:
    """Open a landscape; the walks on one follow each other."""
    if task.family is None:
        from harness.landscape.lookup import open_landscape  # noqa: PLC0415 - needs an extra

        return open_landscape(task.target)
    return generate(_ground(task.target), task.family, number)


@lru_cache
def _ground(target: str) -> Ground:
    return read_ground(target)
