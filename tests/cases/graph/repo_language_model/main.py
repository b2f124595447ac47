import math
from dataclasses import dataclass

import torch

from data import get_batch
from model import GPT, Config

learning_rate = 0.1
warmup = 2


@dataclass
class Run:
    steps: int = 3


def get_lr(step):
    if step < warmup:
        return learning_rate * step / warmup
    return learning_rate * math.cos(step)


@torch.no_grad()
def estimate(model):
    x, y = get_batch("val")
    logits, loss = model(x, y)
    return loss


config = Config(n_embd=4)
model = GPT(config)
optimizer = model.configure(learning_rate)
run = Run()
for step in range(run.steps):
    for group in optimizer.param_groups:
        group["lr"] = get_lr(step)
    x, y = get_batch("train")
    logits, loss = model(x, y)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    if step == 0:
        estimate(model)
