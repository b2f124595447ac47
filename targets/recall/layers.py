"""The parts of a pre-norm transformer block. Shapes: B sequences, T tokens, C channels, H heads of D channels."""

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from config import ModelConfig


class Norm(nn.Module):
    """Layer normalization over the channels, with a learned scale and shift."""

    def __init__(self, dim: int, bias: bool):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.bias = nn.Parameter(torch.zeros(dim)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, eps=1e-5)


class Attention(nn.Module):
    """Causal self-attention: every token reads from itself and from the tokens before it."""

    def __init__(self, cfg: ModelConfig):
        super().__init__()
        self.n_head = cfg.n_head
        self.query = nn.Linear(cfg.n_embd, cfg.n_embd, bias=cfg.bias)
        self.key = nn.Linear(cfg.n_embd, cfg.n_embd, bias=cfg.bias)
        self.value = nn.Linear(cfg.n_embd, cfg.n_embd, bias=cfg.bias)
        self.proj = nn.Linear(cfg.n_embd, cfg.n_embd, bias=cfg.bias)

    def forward(self, x: Tensor) -> Tensor:
        q = self.query(x)  # (B, T, H * D)
        k = self.key(x)  # (B, T, H * D)
        v = self.value(x)  # (B, T, H * D)
        q, k, v = self.split_heads(q), self.split_heads(k), self.split_heads(v)  # (B, H, T, D)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)  # (B, H, T, D)
        y = y.transpose(1, 2).flatten(2)  # (B, T, H * D)
        return self.proj(y)

    def split_heads(self, x: Tensor) -> Tensor:
        return x.unflatten(2, (self.n_head, -1)).transpose(1, 2)  # (B, T, H * D) -> (B, H, T, D)


class MLP(nn.Module):
    """Two linear layers around a nonlinearity, for each token alone."""

    def __init__(self, cfg: ModelConfig):
        super().__init__()
        self.fc = nn.Linear(cfg.n_embd, cfg.mlp_ratio * cfg.n_embd, bias=cfg.bias)
        self.proj = nn.Linear(cfg.mlp_ratio * cfg.n_embd, cfg.n_embd, bias=cfg.bias)

    def forward(self, x: Tensor) -> Tensor:
        h = self.fc(x)  # (B, T, ratio * C)
        h = F.gelu(h)
        return self.proj(h)


class Block(nn.Module):
    """Attention, then the MLP, each on a normalized copy and added to the residual stream."""

    def __init__(self, cfg: ModelConfig):
        super().__init__()
        self.attn_norm = Norm(cfg.n_embd, cfg.bias)
        self.attn = Attention(cfg)
        self.mlp_norm = Norm(cfg.n_embd, cfg.bias)
        self.mlp = MLP(cfg)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.attn_norm(x))  # (B, T, C)
        x = x + self.mlp(self.mlp_norm(x))  # (B, T, C)
        return x
