import torch
import torch.nn as nn


class Trunk(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(2, 2)


class Head(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(2, 2)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.trunk = Trunk()
        self.head = Head()

    def configure(self):
        return torch.optim.AdamW(self.parameters(), lr=1e-3)


def split(model):
    decay = [p for name, p in model.named_parameters() if p.dim() > 1]
    rest = [p for name, p in model.named_parameters() if p.dim() <= 1]
    groups = [{"params": decay, "weight_decay": 0.1}, {"params": rest}]
    return torch.optim.AdamW(groups)


net = Net()
plain = torch.optim.SGD(net.parameters(), lr=0.1)
first = net.configure()
second = split(net)
third = torch.optim.Adam([{"params": net.trunk.parameters()}, {"params": net.head.parameters(), "lr": 0.1}])
