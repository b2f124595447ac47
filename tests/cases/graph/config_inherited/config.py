from dataclasses import dataclass


@dataclass
class Base:
    lr: float = 0.1


@dataclass
class Config(Base):
    depth: int = 2
    total: int = 0

    def __post_init__(self):
        self.total = self.depth * 3


config = Config()
