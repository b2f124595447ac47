"""Training batches: windows of the corpus that start anywhere, in parts that fit the device."""

from collections.abc import Iterator

import torch
from torch import Tensor

from config import TrainConfig
from prepare import fit, load_train, trial_seed


class Sampler:
    def __init__(self, cfg: TrainConfig, device: torch.device):
        self.rows, self.rows_at_once, self.length = fit(cfg.batch_size, device.type)
        self.corpus = torch.from_numpy(load_train()).to(device)  # (N,) uint8
        self.window = torch.arange(self.length + 1, device=device)
        self.rng = torch.Generator().manual_seed(trial_seed())  # its own, so that a wider model sees the same batches

    def batch(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Walk the parts of one batch: inputs and the byte after each input, both (b, T) int64."""
        start = torch.randint(len(self.corpus) - self.length, (self.rows, 1), generator=self.rng)  # (B, 1)
        for part in start.to(self.corpus.device).split(self.rows_at_once):
            chunk = self.corpus[part + self.window].long()  # (b, T + 1)
            yield chunk[:, :-1], chunk[:, 1:]
