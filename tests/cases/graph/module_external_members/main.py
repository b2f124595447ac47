import torch
import torch.nn as nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(2, 2)

    def count(self):
        return len(list(self.parameters()))

    def optimizer(self):
        return torch.optim.AdamW(self.parameters())


net = Net()
opt = net.optimizer()
opt.zero_grad()
opt.step()
net.load_state_dict(net.state_dict())
