"""A GPT over bytes in the manner of nanochat: RMS norms, an untied head, and a stream that remembers where it began."""

import torch
import torch.nn as nn
from torch import Tensor

from config import ModelConfig
from layers import Block, norm
from prepare import VOCAB


class GPT(nn.Module):
    def __init__(self, cfg: ModelConfig):
        super().__init__()
        self.softcap = cfg.softcap
        self.tok_emb = nn.Embedding(VOCAB, cfg.n_embd)
        self.blocks = nn.ModuleList([Block(cfg, i % cfg.value_every == 0) for i in range(cfg.n_layer)])
        self.stream_scale = nn.Parameter(torch.ones(cfg.n_layer))  # of what the blocks before have made
        self.source_scale = nn.Parameter(torch.full((cfg.n_layer,), 0.1))  # of the embedding, added again before each block
        self.head = nn.Linear(cfg.n_embd, VOCAB, bias=False)
        self.init_weights()

    def init_weights(self) -> None:
        """Begin with blocks that add nothing and logits near zero; std 1/sqrt(fan_in) elsewhere keeps activations at unit scale."""
        for name, module in self.named_modules():
            if isinstance(module, nn.Embedding):
                nn.init.normal_(module.weight, std=1.0)
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=module.weight.shape[1] ** -0.5)
                if name.endswith("proj"):
                    nn.init.zeros_(module.weight)
        nn.init.normal_(self.head.weight, std=0.001)

    def forward(self, idx: Tensor) -> Tensor:
        """Return the logits of each next byte. idx: (B, T) int64, T <= SEQ_LEN -> (B, T, VOCAB) float32."""
        source = norm(self.tok_emb(idx))  # (B, T, C)
        x = source
        for i, block in enumerate(self.blocks):
            x = self.stream_scale[i] * x + self.source_scale[i] * source  # (B, T, C)
            x = block(x, idx)
        x = norm(x)
        logits = self.head(x).float()  # (B, T, VOCAB)
        return self.softcap * torch.tanh(logits / self.softcap)
