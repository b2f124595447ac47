"""Training batches: sequences of the training set in random order."""

import torch
from torch import Tensor

from config import TrainConfig
from prepare import load_train, trial_seed


class Sampler:
    def __init__(self, cfg: TrainConfig):
        self.batch_size = cfg.batch_size
        self.inputs, self.values = (torch.from_numpy(array) for array in load_train())  # (N, T), (N, Q) int64
        self.rng = torch.Generator().manual_seed(trial_seed())  # its own, so that a wider model sees the same batches

    def batch(self) -> tuple[Tensor, Tensor]:
        """Return sequences (B, T) and the values of their queried keys (B, Q), both int64."""
        rows = torch.randint(len(self.inputs), (self.batch_size,), generator=self.rng)  # (B,)
        return self.inputs[rows], self.values[rows]
