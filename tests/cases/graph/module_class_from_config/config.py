from dataclasses import dataclass

import torch.nn as nn

from layers import MLP, GatedMLP


@dataclass
class Config:
    gated: bool
    width: int = 4
    norm_class: type = nn.LayerNorm

    @property
    def mlp_class(self):
        return GatedMLP if self.gated else MLP
