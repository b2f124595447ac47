"""Training batches: rows drawn with replacement."""

import torch
from torch import Tensor

from config import TrainConfig
from prepare import load_train, trial_seed


class Sampler:
    def __init__(self, cfg: TrainConfig):
        self.batch_size = cfg.batch_size
        table, load = load_train()
        self.table = torch.from_numpy(table)  # (rows, 3 + N) float32
        self.load = torch.from_numpy(load)  # (rows,) float32
        self.rng = torch.Generator().manual_seed(trial_seed())  # its own, so that a wider model sees the same batches

    def batch(self) -> tuple[Tensor, Tensor]:
        """Return rows (B, 3 + N) and their loads (B,)."""
        chosen = torch.randint(len(self.table), (self.batch_size,), generator=self.rng)
        return self.table[chosen], self.load[chosen]
