from dataclasses import dataclass, field


@dataclass
class Optim:
    lr: float = 0.1
    beta: float = 0.9


@dataclass
class Config:
    depth: int = 2
    optim: Optim = field(default_factory=Optim)

    def rate(self):
        return self.optim.lr / self.depth


def start(optim):
    return optim.beta


config = Config()
config.rate()
start(config.optim)
