"""The parts of a block, without biases and learned norms. Shapes: B sequences, T bytes, C channels, H heads of D channels."""

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from config import ModelConfig
from prepare import SEQ_LEN, VOCAB


def norm(x: Tensor) -> Tensor:
    """Divide by the root mean square over the channels."""
    return F.rms_norm(x, (x.size(-1),))


class Rotary(nn.Module):
    """Turn pairs of channels by angles that grow with the position, so that a product of two tells how far apart they are.

    Source: Su et al. 2021 (arXiv:2104.09864), eq. 34.
    """

    def __init__(self, cfg: ModelConfig):
        super().__init__()
        fraction = torch.arange(0, cfg.head_dim, 2) / cfg.head_dim  # (D / 2,)
        angles = torch.outer(torch.arange(SEQ_LEN), cfg.rope_base**-fraction)  # (SEQ_LEN, D / 2)
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        cos, sin = self.cos[: x.size(2)], self.sin[: x.size(2)]  # (T, D / 2)
        left, right = x.chunk(2, dim=-1)  # (B, H, T, D / 2)
        return torch.cat([left * cos - right * sin, left * sin + right * cos], dim=-1)  # (B, H, T, D)


class Attention(nn.Module):
    """Causal self-attention with rotary positions and normalized queries and keys; in some blocks values know their byte as well."""

    def __init__(self, cfg: ModelConfig, has_value_emb: bool):
        super().__init__()
        self.n_head = cfg.n_head
        self.query = nn.Linear(cfg.n_embd, cfg.n_head * cfg.head_dim, bias=False)
        self.key = nn.Linear(cfg.n_embd, cfg.n_head * cfg.head_dim, bias=False)
        self.value = nn.Linear(cfg.n_embd, cfg.n_head * cfg.head_dim, bias=False)
        self.proj = nn.Linear(cfg.n_head * cfg.head_dim, cfg.n_embd, bias=False)
        self.rotary = Rotary(cfg)
        self.value_emb = nn.Embedding(VOCAB, cfg.n_head * cfg.head_dim) if has_value_emb else None
        self.value_mix = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor, idx: Tensor) -> Tensor:
        q = self.query(x)  # (B, T, H * D)
        k = self.key(x)  # (B, T, H * D)
        v = self.value(x)  # (B, T, H * D)
        if self.value_emb is not None:
            v = v + self.value_mix * self.value_emb(idx)
        q, k, v = self.split_heads(q), self.split_heads(k), self.split_heads(v)  # (B, H, T, D)
        q, k = norm(self.rotary(q)), norm(self.rotary(k))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)  # (B, H, T, D)
        y = y.transpose(1, 2).flatten(2)  # (B, T, H * D)
        return self.proj(y)

    def split_heads(self, x: Tensor) -> Tensor:
        return x.unflatten(2, (self.n_head, -1)).transpose(1, 2)  # (B, T, H * D) -> (B, H, T, D)


class MLP(nn.Module):
    """Two linear layers around a squared ReLU, for each byte alone. Source: So et al. 2021 (arXiv:2109.08668)."""

    def __init__(self, cfg: ModelConfig):
        super().__init__()
        self.fc = nn.Linear(cfg.n_embd, cfg.mlp_ratio * cfg.n_embd, bias=False)
        self.proj = nn.Linear(cfg.mlp_ratio * cfg.n_embd, cfg.n_embd, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        h = self.fc(x)  # (B, T, ratio * C)
        h = F.relu(h).square()
        return self.proj(h)


class Block(nn.Module):
    """Attention, then the MLP, each on a normalized copy and added to the residual stream."""

    def __init__(self, cfg: ModelConfig, has_value_emb: bool):
        super().__init__()
        self.attn = Attention(cfg, has_value_emb)
        self.mlp = MLP(cfg)

    def forward(self, x: Tensor, idx: Tensor) -> Tensor:
        x = x + self.attn(norm(x), idx)  # (B, T, C)
        x = x + self.mlp(norm(x))  # (B, T, C)
        return x
