"""What each process of a run is told: what it runs, what it may read and write, and all of the environment that it sees."""

from __future__ import annotations

import ast
import os
import sys
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from graph.snapshot import read_snapshot
from harness.orders import Access, Allowance, Bounds, Order, call
from harness.predictor import serve_exported
from harness.scorer import Task, run_scorer
from harness.trial import FIRST_FD
from harness.values import Scoring
from targets.manifest import Tier

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from harness.data import Data
    from harness.slots import Slots
    from harness.workspace import Workspace
    from targets.manifest import Target

_N_PROBED = {Scoring.SEARCH: 2, Scoring.GATE: 32, Scoring.FINAL: 32}  # calls of each shard
_EXTRA_S = 5.0  # of a scorer over its predictors: a predictor that hangs reaches its own limit first, and is named
_PASSED_ENV = ("PATH", "TZ", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES")
_FIXED_ENV = {
    "LC_ALL": "C.UTF-8",
    "PYTHONUTF8": "1",
    "PYTHONHASHSEED": "0",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTORCH_NVML_BASED_CUDA_CHECK": "1",  # the other check starts the driver, which does not survive a fork
    "OPENBLAS_NUM_THREADS": "1",  # numpy's; torch follows OMP_NUM_THREADS
}


@dataclass(frozen=True, slots=True)
class Briefs:
    """The orders of the runs of one target."""

    target: Target
    data: Data
    bounds: Bounds
    slots: Slots

    def training(self, space: Workspace, seed: int, allowance: Allowance) -> Order:
        """Say how a snapshot is trained: with the training data and a budget, and nothing else to read."""
        train_data = str(self.data.train)
        env = {
            "CODEGRAFT_SEED": str(seed),
            "CODEGRAFT_DATA": train_data,
            "CODEGRAFT_OUT": str(space.out),
            "CODEGRAFT_BUDGET_FD": str(FIRST_FD),
        }
        return Order(
            main=(self.target.train, *(_fill(argument, env) for argument in self.target.arguments)),
            folder=str(space.work),
            env={**self._env(space), **env},
            bounds=self.bounds,
            allowance=allowance,
            access=Access((train_data,), (str(space.work), str(space.out), str(space.tmp))),
        )

    def predictor(self, room: Workspace, checkpoint: Path, driver: Callable[[str, str], None]) -> Order:
        """Say how a checkpoint is answered for: with that file, by a driver of ours around edited code, or around an exported graph."""
        is_exported = self.target.tier is Tier.EXPORTED
        edited = call(driver, str(self.target.predictor), str(checkpoint))
        return Order(
            main=call(serve_exported, str(checkpoint)) if is_exported else edited,
            folder=str(room.work),
            env={**self._env(room), "TORCH_FORCE_WEIGHTS_ONLY_LOAD": "1"} if is_exported else self._env(room),
            bounds=self.bounds,
            access=Access((str(checkpoint),), (str(room.work), str(room.tmp))),
        )

    def scorer(self, desk: Workspace, scoring: Scoring, *, key: str) -> Order:
        """Say how outputs are scored: by frozen files, on the shards that scoring asks for. key: what the choice of probes rests on."""
        target, data = self.target, self.data
        asked = {
            Scoring.SEARCH: (data.heldout,),
            Scoring.GATE: (data.heldout, data.second),
            Scoring.FINAL: (data.final,),
        }
        shards = tuple(str(folder) for folder in asked[scoring] if folder is not None)
        task = Task(str(target.scorer), target.metric, shards, target.probes, _N_PROBED[scoring], key)
        return Order(
            main=call(run_scorer, task.to_json()),
            folder=str(desk.work),
            env=self._env(desk),
            bounds=replace(self.bounds, wall_s=self.bounds.wall_s + _EXTRA_S),
            access=Access((str(desk.work), *shards), (str(desk.tmp),)),
        )

    def _env(self, space: Workspace) -> dict[str, str]:
        folders = dict.fromkeys(("HOME", "TMPDIR", "XDG_CACHE_HOME", "TORCHINDUCTOR_CACHE_DIR"), str(space.tmp))
        return {**environment(self.bounds.threads), **self.slots.environment(), **folders}


def _fill(argument: str, env: Mapping[str, str]) -> str:
    for name in ("seed", "data", "out"):
        argument = argument.replace(f"{{{name}}}", env[f"CODEGRAFT_{name.upper()}"])
    return argument


def third_party_imports(target: Target) -> frozenset[str]:
    """Name the modules that the target's sources import from outside the standard library and the target itself."""
    sources = read_snapshot(target.root_dir, target.mutable, frozen=target.frozen)
    named: set[str] = set()
    for path, source in sources.files.items():
        with suppress(SyntaxError, ValueError):  # the trial will say so
            for node in ast.walk(ast.parse(source) if path.endswith(".py") else ast.Module([], [])):
                if isinstance(node, ast.Import):
                    named.update(alias.name for alias in node.names)
                elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
                    named.add(node.module)
    own = {path.partition("/")[0].removesuffix(".py") for path in sources.files}
    return frozenset(name for name in named if name.partition(".")[0] not in own | sys.stdlib_module_names)


def environment(threads: int) -> dict[str, str]:
    """Return what processes see of the user's environment, and what makes them alike."""
    passed = {name: os.environ[name] for name in _PASSED_ENV if name in os.environ}
    return {**passed, **_FIXED_ENV, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
