from contextlib import nullcontext

import torch


def forward(x):
    return torch.relu(x)


@torch.no_grad()
def estimate(x):
    return forward(x)


def train(x, device):
    context = nullcontext() if device == "mps" else torch.autocast(device_type=device, dtype=torch.bfloat16)
    with context:
        y = forward(x)
    with torch.autocast("cpu"):
        with torch.no_grad():
            forward(y)
    with torch.device("cpu"):
        z = torch.zeros(2)
    with open("log.txt") as log:
        forward(z)
    return estimate(z)


train(torch.zeros(1), "cpu")
