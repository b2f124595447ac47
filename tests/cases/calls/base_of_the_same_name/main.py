import torch.nn as nn


class Linear(nn.Linear):
    def forward(self, x):
        return x


layer = Linear(2, 2)
