"""What the agent lives through between two updates, and how much better each action was than expected. Shapes: T steps, N worlds."""

from dataclasses import dataclass

import torch
from torch import Tensor

from config import TrainConfig
from model import Agent
from prepare import Budget, Worlds, trial_seed


@dataclass
class Rollout:
    views: Tensor  # (T, N, N_TOKENS) int64
    actions: Tensor  # (T, N) int64
    rewards: Tensor  # (T, N)
    ended: Tensor  # (T, N), 1 where the episode ended with that step
    values: Tensor  # (T + 1, N), the last row of what comes next


class Collector:
    def __init__(self, cfg: TrainConfig, budget: Budget):
        self.cfg = cfg
        self.worlds = Worlds(cfg.n_worlds, budget)
        self.rng = torch.Generator().manual_seed(trial_seed())

    @torch.no_grad()
    def collect(self, model: Agent) -> Rollout:
        """Play on where the last rollout ended."""
        steps = []
        for _ in range(self.cfg.horizon):
            views = torch.from_numpy(self.worlds.look())
            logits, values = model(views)  # (N, N_ACTIONS), (N,)
            actions = torch.multinomial(logits.softmax(dim=-1), 1, generator=self.rng).squeeze(1)  # (N,)
            rewards, ended = self.worlds.step(actions.numpy())
            steps.append((views, actions, torch.from_numpy(rewards), torch.from_numpy(ended).float(), values))
        views, actions, rewards, ended, values = (torch.stack(column) for column in zip(*steps, strict=True))
        _, last = model(torch.from_numpy(self.worlds.look()))
        return Rollout(views, actions, rewards, ended, torch.cat([values, last[None]]))


def estimate_advantages(batch: Rollout, cfg: TrainConfig) -> Tensor:
    """Return how much better each action was than expected, (T, N). Source: Schulman et al. 2016 (arXiv:1506.02438), eq. 16."""
    alive = 1 - batch.ended  # (T, N)
    errors = batch.rewards + cfg.gamma * alive * batch.values[1:] - batch.values[:-1]  # (T, N)
    advantages = torch.zeros_like(errors)
    later = torch.zeros_like(errors[0])  # (N,)
    for t in reversed(range(len(errors))):
        later = errors[t] + cfg.gamma * cfg.lam * alive[t] * later
        advantages[t] = later
    return advantages
