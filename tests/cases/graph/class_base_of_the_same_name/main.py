import torch.nn as nn


class Linear(nn.Linear):
    def forward(self, x):
        return super().forward(x)


class LayerNorm(nn.LayerNorm):
    pass


layer = Linear(2, 2)
norm = LayerNorm(2)
