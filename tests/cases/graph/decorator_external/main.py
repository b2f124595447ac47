import functools
from dataclasses import dataclass

import torch


@functools.lru_cache(maxsize=None)
def table(size):
    return build(size)


def build(size):
    return [0] * size


@dataclass(frozen=True)
class Config:
    width: int = 4


@torch.no_grad()
def evaluate():
    return table(Config().width)


@torch.compile
def fused(value):
    return value


evaluate()
fused(1)
