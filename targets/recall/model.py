"""A small GPT: learned positions, pre-norm blocks, a head that reads one value for each query."""

import math

import torch
import torch.nn as nn
from torch import Tensor

from config import ModelConfig
from layers import Block, Norm
from prepare import SEQ_LEN, VOCAB


class GPT(nn.Module):
    def __init__(self, cfg: ModelConfig):
        super().__init__()
        self.tok_emb = nn.Embedding(VOCAB, cfg.n_embd)
        self.pos_emb = nn.Embedding(SEQ_LEN, cfg.n_embd)
        self.blocks = nn.ModuleList([Block(cfg) for _ in range(cfg.n_layer)])
        self.norm = Norm(cfg.n_embd, cfg.bias)
        self.head = nn.Linear(cfg.n_embd, VOCAB, bias=False)
        self.init_weights(cfg)
        if cfg.tied_head:
            self.head.weight = self.tok_emb.weight

    def init_weights(self, cfg: ModelConfig) -> None:
        """Keep activations near unit scale at the start: std 1/sqrt(fan_in), less where a block adds to the stream."""
        for name, module in self.named_modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                std = module.weight.shape[1] ** -0.5
                if name.endswith("proj"):
                    std = std / math.sqrt(2 * cfg.n_layer)  # GPT-2: as many additions as blocks have residual branches
                nn.init.normal_(module.weight, std=std)
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)

    def forward(self, idx: Tensor) -> Tensor:
        """Return the logits at each token of what it stands for. idx: (B, T) int64, T <= SEQ_LEN -> (B, T, VOCAB)."""
        pos = torch.arange(idx.shape[1], device=idx.device)  # (T,)
        x = self.tok_emb(idx) + self.pos_emb(pos)  # (B, T, C)
        for block in self.blocks:
            x = block(x)
        x = self.norm(x)
        return self.head(x)
