import torch
import torch.nn as nn
import torch.nn.functional as F
from accelerate import Accelerator


class Net(nn.Module):
    def forward(self, x):
        return x

    def describe(self):
        return "net"


accelerator = Accelerator()
model = Net()
optimizer = torch.optim.AdamW(model.parameters())
model, optimizer = accelerator.prepare(model, optimizer)
x = torch.zeros(1)
loss = F.mse_loss(model(x), x)
accelerator.backward(loss)
optimizer.step()
accelerator.unwrap_model(model).describe()
