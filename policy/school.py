"""Schooling of the network before any campaign: first it imitates hindsight, then it practises with PPO.

Imitation: on a task whose effects are known, the options of every scene of a search are labelled with what they truly gain, and the network
learns to say which are worth a trial from what a search sees: its history, and the beliefs that follow from it. So it learns to adapt to a
task, not the tasks (decision-pretrained transformers, Lee et al. 2023, arXiv:2306.14892, there with the single best action).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn.utils import clip_grad_norm_

from policy.learn import MAX_GRADIENT, improve, roll_out
from policy.network import collate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from policy.learn import Step
    from policy.network import EditNetwork
    from policy.observe import Observation

BATCH = 16
_RATE = 1e-3  # falls to a tenth
_PRACTICE_RATE = 1e-4


@dataclass(frozen=True, slots=True)
class Lesson:
    """A scene with hindsight."""

    observation: Observation
    worth: Tensor  # (M,) shares of what there was to gain, summing to 1


def weigh(gains: Sequence[float]) -> Tensor | None:
    """Return how probable each option should be, given what it truly gains in bent sd; None where none gains anything.

    The square lets what gains most prevail without naming a single best one, which noise could not tell apart.
    """
    squares = torch.tensor(gains, dtype=torch.float32).nan_to_num(0.0).clamp(min=0.0).square()
    total = squares.sum()
    return squares / total if total > 0 else None


def imitate(
    network: EditNetwork, lessons: Sequence[Lesson], *, n_epochs: int, seed: int, announce: Callable[[str], None]
) -> None:
    """Minimise the cross-entropy to what hindsight says; each lesson once per epoch, in an order of the seed."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=_RATE, weight_decay=0.01)
    n_batches = (len(lessons) + BATCH - 1) // BATCH
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, n_epochs * n_batches, eta_min=_RATE / 10)
    generator = torch.Generator().manual_seed(seed)
    for epoch in range(1, n_epochs + 1):
        total = 0.0
        for rows in torch.randperm(len(lessons), generator=generator).split(BATCH):
            loss = imitation_loss(network, [lessons[row] for row in rows.tolist()])
            optimizer.zero_grad()
            loss.backward()
            clip_grad_norm_(network.parameters(), MAX_GRADIENT)
            optimizer.step()
            schedule.step()
            total += float(loss.detach()) * len(rows)
        announce(f"imitation  epoch {epoch}/{n_epochs}  cross-entropy {total / len(lessons):.4f}")


def imitation_loss(network: EditNetwork, lessons: Sequence[Lesson]) -> Tensor:
    """Return the mean cross-entropy of the network to what hindsight says."""
    log_probs, _ = network.decide(collate([lesson.observation for lesson in lessons]))
    worth = torch.zeros_like(log_probs)
    for row, lesson in zip(worth, lessons, strict=True):
        row[: len(lesson.worth)] = lesson.worth
    return -(worth * log_probs).sum(-1).mean()


def practise(network: EditNetwork, walks: Sequence[Sequence[Step]]) -> None:
    """Update the network by PPO on walks that it has just played, one walk after the other; each ends its campaign."""
    optimizer = torch.optim.Adam(network.parameters(), lr=_PRACTICE_RATE, eps=1e-5)
    for steps in walks:
        centre = sum(step.reward for step in steps) / len(steps)
        improve(network, optimizer, roll_out(network, steps, None, centre=centre))
