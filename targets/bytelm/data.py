"""Training batches: windows of the corpus that start anywhere."""

import torch
from torch import Tensor

from config import TrainConfig
from prepare import SEQ_LEN, load_train, trial_seed


class Sampler:
    def __init__(self, cfg: TrainConfig):
        self.batch_size = cfg.batch_size
        self.corpus = torch.from_numpy(load_train())  # (N,) uint8
        self.window = torch.arange(SEQ_LEN + 1)
        self.rng = torch.Generator().manual_seed(trial_seed())  # its own, so that a wider model sees the same batches

    def batch(self) -> tuple[Tensor, Tensor]:
        """Return inputs and the byte after each input, both (B, T) int64."""
        start = torch.randint(len(self.corpus) - SEQ_LEN, (self.batch_size, 1), generator=self.rng)  # (B, 1)
        chunk = self.corpus[start + self.window].long()  # (B, T + 1)
        return chunk[:, :-1], chunk[:, 1:]
