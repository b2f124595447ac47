from dataclasses import dataclass


@dataclass
class Config:
    lr: float = 0.1
    depth: int = 2
    seed: int = 0
