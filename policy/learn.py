"""Proximal policy optimisation over a window of trials: advantages, the clipped objective, and when to stop.

Source: Schulman et al. 2017 (arXiv:1707.06347), eq. 7 and 9.
Not covered: minibatches and parallel environments; a campaign is one environment and its window is one batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn.functional import mse_loss
from torch.nn.utils import clip_grad_norm_

from policy.network import IMPOSSIBLE, collate

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from torch import Tensor
    from torch.optim import Optimizer

    from policy.network import Batch, EditNetwork
    from policy.observe import Observation

GAMMA = 0.98
LAMBDA = 0.9
CLIP = 0.2
N_EPOCHS = 3
MAX_KL = 0.03  # of one update
ENTROPY_WEIGHT = 0.01
VALUE_WEIGHT = 0.5
MAX_GRADIENT = 0.5
_SMALLEST_SPREAD = 0.1  # in units of the reward: smaller advantages are not blown up


@dataclass(frozen=True, slots=True)
class Step:
    """One trial as a transition: what was seen, what was picked and how likely that was, what it earned."""

    observation: Observation
    option: int
    before: tuple[int, ...]  # options that the same batch of proposals had picked already
    log_prob: float
    reward: float


@dataclass(frozen=True, slots=True)
class Rollout:
    """T steps to learn from."""

    batch: Batch
    blocked: Tensor  # (T, M) bool: options that were picked before
    options: Tensor  # (T,) int64
    log_probs: Tensor  # (T,) of the options when they were picked
    advantages: Tensor  # (T,)
    returns: Tensor  # (T,)


def roll_out(network: EditNetwork, steps: Sequence[Step], successor: Observation | None, *, centre: float) -> Rollout:
    """Weigh the steps, oldest first, with the network's present values.

    The successor is what is seen after the last step, or None when the campaign is over. Rewards are taken relative to the centre
    (the campaign's mean), so that the value head need not learn how hard the target is before it is of use.
    """
    batch = collate([step.observation for step in steps])
    with torch.no_grad():
        values = network.decide(batch)[1]
        last = torch.zeros(1) if successor is None else network.decide(collate([successor]))[1]
    rewards = torch.tensor([step.reward - centre for step in steps])
    advantages = estimate_advantages(rewards, torch.cat([values, last]), gamma=GAMMA, lam=LAMBDA)
    return Rollout(
        batch,
        block(batch.is_option.shape, (step.before for step in steps)),
        torch.tensor([step.option for step in steps]),
        torch.tensor([step.log_prob for step in steps]),
        advantages,
        advantages + values,
    )


def estimate_advantages(rewards: Tensor, values: Tensor, *, gamma: float, lam: float) -> Tensor:
    """Estimate how much better each step was than expected.

    Shapes: rewards (T,); values (T + 1,), the last one bootstraps.
    Returns: (T,), not normalised.
    Raises: ValueError: values is not one longer than rewards.
    Source: Schulman et al. 2016 (arXiv:1506.02438), eq. 16.
    """
    if len(values) != len(rewards) + 1:
        raise ValueError(f"{len(values)} values for {len(rewards)} rewards: give one more value than rewards")
    advantages = rewards + gamma * values[1:] - values[:-1]  # the one-step errors, each then discounting its successors
    for t in reversed(range(len(rewards) - 1)):
        advantages[t] += gamma * lam * advantages[t + 1]
    return advantages


def scale_advantages(advantages: Tensor) -> Tensor:
    """Bring advantages to a root mean square of one, also a single one.

    Not centred: the value head is the baseline, and centring a batch of one would erase it.
    """
    return advantages / advantages.square().mean().sqrt().clamp(min=_SMALLEST_SPREAD)


def improve(network: EditNetwork, optimizer: Optimizer, rollout: Rollout) -> None:
    """Take at most N_EPOCHS steps up the clipped objective; stop where this update has moved the policy by MAX_KL."""
    advantages = scale_advantages(rollout.advantages)
    first = None
    for _ in range(N_EPOCHS):
        log_probs, values = network.decide(rollout.batch)
        log_probs = renormalise(log_probs, rollout.blocked)
        picked = log_probs.gather(1, rollout.options[:, None])[:, 0]  # (T,)
        first = picked.detach() if first is None else first
        if _divergence(first, picked.detach()) > MAX_KL:
            return
        ratio = (picked - rollout.log_probs).exp()
        gain = torch.minimum(ratio * advantages, ratio.clamp(1 - CLIP, 1 + CLIP) * advantages).mean()
        entropy = -(log_probs.exp() * log_probs).sum(-1).mean()
        loss = VALUE_WEIGHT * mse_loss(values, rollout.returns) - gain - ENTROPY_WEIGHT * entropy
        optimizer.zero_grad()
        loss.backward()
        clip_grad_norm_(network.parameters(), MAX_GRADIENT)
        optimizer.step()


def renormalise(log_probs: Tensor, blocked: Tensor) -> Tensor:
    """Return the log-probabilities (..., M) that are left when the blocked options (..., M) cannot be picked any more."""
    return torch.log_softmax(log_probs.masked_fill(blocked, IMPOSSIBLE), -1)


def block(shape: Sequence[int], rows: Iterable[Sequence[int]]) -> Tensor:
    """Return a mask of this shape (T, M) that is True at each row's options."""
    blocked = torch.zeros(*shape, dtype=torch.bool)
    for mask, row in zip(blocked, rows, strict=True):
        mask[list(row)] = True
    return blocked


def _divergence(old: Tensor, new: Tensor) -> float:
    """Estimate KL(old || new) from the log-probabilities of samples of old: unbiased and never negative (Schulman 2020, k3)."""
    change = new - old
    return float((change.exp() - 1 - change).mean())
