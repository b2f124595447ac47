import copy

import torch
import torch.nn as nn


class Net(nn.Module):
    def forward(self, x):
        return x

    def generate(self, x):
        return self(x)


net = Net().to("cpu")
net = net.eval()
net(torch.zeros(1))
compiled = torch.compile(net, backend="eager")
compiled(torch.zeros(1))
teacher = copy.deepcopy(net)
teacher.generate(torch.zeros(1))
scripted = net.train().requires_grad_(False)
scripted.generate(torch.zeros(1))
