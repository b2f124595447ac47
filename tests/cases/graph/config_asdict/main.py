from dataclasses import asdict, dataclass, replace


@dataclass(frozen=True)
class Config:
    lr: float = 0.1
    depth: int = 2


config = replace(Config(), lr=0.5)
values = asdict(config)
rate = values["lr"]
depth = getattr(config, "depth")
halved = replace(config, lr=config.lr / 2)
