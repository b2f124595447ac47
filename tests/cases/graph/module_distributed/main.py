import torch
import torch.nn as nn
from torch.nn.parallel import DistributedDataParallel as DDP


class Net(nn.Module):
    def forward(self, x):
        return x

    def configure(self):
        return 1


def build(world_size):
    model = Net()
    raw_model = model
    if world_size > 1:
        model = DDP(model, device_ids=[0])
        raw_model = model.module
    model(torch.zeros(1))
    raw_model.configure()
    return model


unwrapped = build(2)
inner = unwrapped.module if hasattr(unwrapped, "module") else unwrapped
inner.configure()
