import torch
import torch.nn as nn
import torch.nn.functional as F


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(1, 1)

    def forward(self, x):
        return self.fc(x)


def warmup(step):
    return min(1, step / 10)


net = Net()
x = torch.ones(1, 1)
optimizer = torch.optim.LBFGS(net.parameters())
scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lr_lambda=warmup)


def closure():
    optimizer.zero_grad()
    loss = F.mse_loss(net(x), x)
    loss.backward()
    return loss


optimizer.step(closure)
scheduler.step()
