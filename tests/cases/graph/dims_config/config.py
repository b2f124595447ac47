from dataclasses import dataclass


@dataclass
class Config:
    vocab_size: int = 16
    n_embd: int = 8
