"""Train a small language model for a fixed time; one file, edit anything."""

import time
from dataclasses import dataclass

import torch
import torch.nn as nn
import torch.nn.functional as F

from kernels import get_kernel
from prepare import SEQ_LEN, TIME_BUDGET, VOCAB, batches, evaluate, now

flash = get_kernel("flash-attention").interface


@dataclass
class Config:
    sequence_len: int = 1024
    vocab_size: int = 4096
    n_layer: int = 6
    n_head: int = 4
    n_embd: int = 256
    window_pattern: str = "SSL"


def norm(x):
    return F.rms_norm(x, (x.size(-1),))


def rotate(x, cos, sin):
    half = x.shape[-1] // 2
    a, b = x[..., :half], x[..., half:]
    return torch.cat([a * cos + b * sin, b * cos - a * sin], dim=-1)


class Attention(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.n_head = config.n_head
        self.head_dim = config.n_embd // config.n_head
        self.qkv = nn.Linear(config.n_embd, 3 * config.n_embd, bias=False)
        self.proj = nn.Linear(config.n_embd, config.n_embd, bias=False)

    def forward(self, x, cos_sin, window):
        B, T, C = x.shape
        q, k, v = self.qkv(x).view(B, T, 3, self.n_head, self.head_dim).unbind(2)
        cos, sin = cos_sin
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        q, k = norm(q), norm(k)  # QK-norm
        y = flash.flash_attn_func(q, k, v, causal=True, window_size=window)
        return self.proj(y.reshape(B, T, C))


class MLP(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.up = nn.Linear(config.n_embd, 4 * config.n_embd, bias=False)
        self.down = nn.Linear(4 * config.n_embd, config.n_embd, bias=False)

    def forward(self, x):
        return self.down(F.relu(self.up(x)).square())


class Block(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.attn = Attention(config)
        self.mlp = MLP(config)

    def forward(self, x, cos_sin, window):
        x = x + self.attn(norm(x), cos_sin, window)
        x = x + self.mlp(norm(x))
        return x


class LM(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config
        self.windows = self._window_sizes(config)
        self.embed = nn.Embedding(config.vocab_size, config.n_embd)
        self.value_embed = nn.Embedding(config.vocab_size, config.n_embd)
        self.blocks = nn.ModuleList([Block(config) for _ in range(config.n_layer)])
        self.head = nn.Linear(config.n_embd, config.vocab_size, bias=False)
        self.first_lambdas = nn.Parameter(torch.zeros(config.n_layer))
        cos, sin = self._rotary(config.sequence_len, config.n_embd // config.n_head)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)

    @torch.no_grad()
    def init_weights(self):
        nn.init.normal_(self.embed.weight, mean=0.0, std=1.0)
        nn.init.normal_(self.head.weight, mean=0.0, std=0.001)
        bound = 3**0.5 * self.config.n_embd**-0.5
        for block in self.blocks:
            nn.init.uniform_(block.attn.qkv.weight, -bound, bound)
            nn.init.zeros_(block.attn.proj.weight)
            nn.init.uniform_(block.mlp.up.weight, -bound, bound)
            nn.init.zeros_(block.mlp.down.weight)
        nn.init.zeros_(self.value_embed.weight)
        self.first_lambdas.fill_(0.1)

    def _rotary(self, length, head_dim, base=10000):
        frequency = 1.0 / (base ** (torch.arange(0, head_dim, 2, dtype=torch.float32) / head_dim))
        angle = torch.outer(torch.arange(length, dtype=torch.float32), frequency)
        return angle.cos()[None, :, None, :], angle.sin()[None, :, None, :]

    def _window_sizes(self, config):
        pattern = config.window_pattern.upper()
        assert all(c in "SL" for c in pattern)
        long_window = config.sequence_len
        short_window = long_window // 2
        sizes = {"L": (long_window, 0), "S": (short_window, 0)}
        return [sizes[pattern[i % len(pattern)]] for i in range(config.n_layer)]

    def setup_optimizer(self, head_lr=0.004, embed_lr=0.2, matrix_lr=0.02, weight_decay=0.0, betas=(0.8, 0.95)):
        groups = [
            dict(params=list(self.head.parameters()), lr=head_lr, betas=betas, eps=1e-10, weight_decay=0.0),
            dict(params=list(self.embed.parameters()), lr=embed_lr, betas=betas, eps=1e-10, weight_decay=0.0),
            dict(params=list(self.value_embed.parameters()), lr=embed_lr, betas=betas, eps=1e-10, weight_decay=0.0),
            dict(params=[self.first_lambdas], lr=0.5, betas=(0.96, 0.95), eps=1e-10, weight_decay=0.0),
            dict(params=list(self.blocks.parameters()), lr=matrix_lr, betas=betas, eps=1e-10, weight_decay=weight_decay),
        ]
        optimizer = torch.optim.AdamW(groups)
        for group in optimizer.param_groups:
            group["initial_lr"] = group["lr"]
        return optimizer

    def forward(self, idx, targets=None, reduction="mean"):
        T = idx.size(1)
        cos_sin = self.cos[:, :T], self.sin[:, :T]
        x = norm(self.embed(idx))
        first = x + self.value_embed(idx)
        for i, block in enumerate(self.blocks):
            x = x + self.first_lambdas[i] * first
            x = block(x, cos_sin, self.windows[i])
        softcap = 15
        logits = softcap * torch.tanh(self.head(norm(x)).float() / softcap)
        if targets is None:
            return logits
        return F.cross_entropy(logits.view(-1, logits.size(-1)), targets.reshape(-1), reduction=reduction)


# Hyperparameters
ASPECT_RATIO = 64  # width = depth * ASPECT_RATIO
HEAD_DIM = 128
WINDOW_PATTERN = "SSSL"  # S: half the context, L: all of it
TOTAL_BATCH_SIZE = 2**19  # tokens per step
DEVICE_BATCH_SIZE = 128
EMBEDDING_LR = 0.6
UNEMBEDDING_LR = 0.004
MATRIX_LR = 0.04
WEIGHT_DECAY = 0.2
ADAM_BETAS = (0.8, 0.95)
WARMUP_RATIO = 0.0
WARMDOWN_RATIO = 0.5
FINAL_LR_FRAC = 0.0
DEPTH = 8

torch.manual_seed(42)
width = (DEPTH * ASPECT_RATIO + HEAD_DIM - 1) // HEAD_DIM * HEAD_DIM
config = Config(SEQ_LEN, VOCAB, DEPTH, width // HEAD_DIM, width, WINDOW_PATTERN)
model = LM(config)
model.init_weights()
tokens_per_pass = DEVICE_BATCH_SIZE * SEQ_LEN
assert TOTAL_BATCH_SIZE % tokens_per_pass == 0
accumulation = TOTAL_BATCH_SIZE // tokens_per_pass
optimizer = model.setup_optimizer(UNEMBEDDING_LR, EMBEDDING_LR, MATRIX_LR, WEIGHT_DECAY, ADAM_BETAS)
loader = batches(DEVICE_BATCH_SIZE, "train")


def lr_multiplier(progress):
    if progress < WARMUP_RATIO:
        return progress / WARMUP_RATIO
    if progress < 1.0 - WARMDOWN_RATIO:
        return 1.0
    cooldown = (1.0 - progress) / WARMDOWN_RATIO
    return cooldown * 1.0 + (1 - cooldown) * FINAL_LR_FRAC


def momentum(step):
    frac = min(step / 300, 1)
    return (1 - frac) * 0.85 + frac * 0.95


def decay(progress):
    return WEIGHT_DECAY * (1 - progress)


total_training_time = 0
step = 0
while True:
    t0 = time.time()
    for _ in range(accumulation):
        x, y = next(loader)
        loss = model(x, y) / accumulation
        loss.backward()
    progress = min(total_training_time / TIME_BUDGET, 1.0)
    for group in optimizer.param_groups:
        group["lr"] = group["initial_lr"] * lr_multiplier(progress)
    optimizer.param_groups[-1]["betas"] = (momentum(step), 0.95)
    optimizer.param_groups[-1]["weight_decay"] = decay(progress)
    optimizer.step()
    model.zero_grad(set_to_none=True)
    t1 = time.time()
    dt = t1 - t0
    if step > 10:
        total_training_time += dt
    step += 1
    if step > 10 and total_training_time >= TIME_BUDGET:
        break

model.eval()
val_bpb = evaluate(model, DEVICE_BATCH_SIZE)
print(f"val_bpb:          {val_bpb:.6f}")
print(f"training_seconds: {total_training_time:.1f}")
