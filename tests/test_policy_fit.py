"""The kernel is learned: what edits have in common shows in its variances."""

from __future__ import annotations

import numpy as np
import torch

from graph.snapshot import Snapshot
from mutator.code import Code
from policy.effects import Kernel
from policy.fit import Measured, fit_kernel
from policy.testing import SOURCE
from policy.traits import describe

torch.set_num_threads(1)


def measured(*, by_kind: float, by_edit: float) -> list[Measured]:
    code, tasks = Code.of(Snapshot({"train.py": SOURCE})), []
    edits = [edit for edit in code.edits() if edit.kind not in ("scale-literal", "set-literal")]
    kinds = sorted({edit.kind for edit in edits})
    for seed in range(3):
        stream = np.random.default_rng(seed)
        of_kind = dict(zip(kinds, by_kind * stream.standard_normal(len(kinds)), strict=True))
        gains = np.array([of_kind[edit.kind] for edit in edits]) + by_edit * stream.standard_normal(len(edits))
        tasks.append(Measured(describe(code.graph, edits), gains, np.ones(len(edits))))
    return tasks


def shared(kernel: Kernel) -> float:
    """The variance that edits of one kind at one site have in common."""
    return kernel.any + kernel.kind + kernel.site + kernel.unit + kernel.place + kernel.content + kernel.kind_content


def test_a_kernel_finds_whether_edits_of_one_kind_do_alike():
    alike, _ = fit_kernel(measured(by_kind=2.0, by_edit=0.1), n_steps=60)
    apart, _ = fit_kernel(measured(by_kind=0.0, by_edit=2.0), n_steps=60)
    assert shared(alike) / alike.edit > 3 * shared(apart) / apart.edit


def test_more_steps_surprise_less_and_what_is_not_fitted_stays():
    tasks = measured(by_kind=2.0, by_edit=0.1)
    (_, before), (kernel, after) = (fit_kernel(tasks, n_steps=n) for n in (1, 40))
    assert after < before - 0.05
    assert kernel.trust == Kernel().trust


def test_a_failed_run_is_a_loss_and_not_a_hole():
    tasks = measured(by_kind=0.1, by_edit=0.1)
    failed = [Measured(task.traits, np.full(len(task.gains), np.nan), task.n_runs) for task in tasks]
    kernel, surprise = fit_kernel(failed, n_steps=40)
    assert kernel.mean < Kernel().mean
    assert np.isfinite(surprise)
