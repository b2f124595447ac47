"""Training batches: all images in random order, again and again, each a little different every time."""

import torch
from torch import Tensor

from config import TrainConfig
from prepare import load_train, trial_seed


class Loader:
    def __init__(self, cfg: TrainConfig):
        self.cfg = cfg
        images, labels = load_train()
        self.images = torch.from_numpy(images)  # (N, SIZE, SIZE) float32, 0 to 1
        self.labels = torch.from_numpy(labels)  # (N,) int64
        self.rng = torch.Generator().manual_seed(trial_seed())  # its own, so that a wider model sees the same batches
        self.order = torch.empty(0, dtype=torch.int64)

    def batch(self) -> tuple[Tensor, Tensor]:
        """Return images (B, SIZE, SIZE) and what they show (B,)."""
        if len(self.order) < self.cfg.batch_size:
            self.order = torch.randperm(len(self.images), generator=self.rng)
        chosen, self.order = self.order.split([self.cfg.batch_size, len(self.order) - self.cfg.batch_size])
        return self.augment(self.images[chosen]), self.labels[chosen]

    def augment(self, x: Tensor) -> Tensor:
        """Make each pixel noisier. x: (B, SIZE, SIZE)."""
        return x + self.cfg.noise * torch.randn(x.shape, generator=self.rng)
