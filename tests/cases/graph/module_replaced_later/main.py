import torch
import torch.nn as nn


class Lora(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return self.inner(x)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(2, 2)

    def forward(self, x):
        return self.fc(x)


net = Net()
net.fc = Lora(nn.Linear(2, 2))
net(torch.zeros(1, 2))
