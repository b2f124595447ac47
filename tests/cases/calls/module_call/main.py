import torch.nn as nn


class Block(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        self.fc = nn.Linear(2, 2)

    def forward(self, x):
        return self.fc(x)


class Net(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        self.blocks = nn.ModuleList([Block(cfg) for _ in range(2)])

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return x


net = Net(None)
net(1)
