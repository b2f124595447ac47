import torch
import torch.nn as nn
import torch.nn.functional as F


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(2, 2)

    def forward(self, x):
        return self.fc(x)


@torch.no_grad()
def validate(model, x):
    return model(x).sum().item()


def accuracy(model, x):
    with torch.inference_mode():
        return model(x)


net = Net()
x = torch.zeros(1, 2)
loss = F.mse_loss(net(x), x)
loss.backward()
validate(net, x)
accuracy(net, x)
