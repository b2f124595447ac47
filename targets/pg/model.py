"""An actor and a critic on shared layers: each thing in view is thought about for itself, then all of them together."""

import torch.nn as nn
from torch import Tensor

from config import ModelConfig
from layers import Hidden
from prepare import N_ACTIONS, VOCAB


class Agent(nn.Module):
    def __init__(self, cfg: ModelConfig):
        super().__init__()
        self.embed = nn.Embedding(VOCAB, cfg.width)
        self.inner = nn.ModuleList([Hidden(cfg) for _ in range(cfg.n_inner)])
        self.outer = nn.ModuleList([Hidden(cfg) for _ in range(cfg.n_outer)])
        self.actor = nn.Linear(cfg.width, N_ACTIONS)
        self.critic = nn.Linear(cfg.width, 1)
        self.init_weights(cfg)

    def init_weights(self, cfg: ModelConfig) -> None:
        """Orthogonal weights; the actor's small, so that it begins by trying everything (Andrychowicz et al. 2020, arXiv:2006.05990)."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.orthogonal_(module.weight, gain=cfg.gain)
                nn.init.zeros_(module.bias)
        nn.init.orthogonal_(self.actor.weight, gain=0.01)

    def forward(self, views: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits of the actions and what the state is worth. views: (B, T) int64 -> (B, N_ACTIONS), (B,)."""
        b, t = views.shape
        x = self.embed(views)  # (B, T, C)
        for layer in self.inner:
            x = layer(x)
        x = x.sum(dim=1) / t**0.5  # (B, C)
        for layer in self.outer:
            x = layer(x)
        logits = self.actor(x)  # (B, N_ACTIONS)
        value = self.critic(x)  # (B, 1)
        return logits, value.squeeze(1)
