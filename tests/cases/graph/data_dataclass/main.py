from dataclasses import dataclass, field, replace


class Head:
    def apply(self):
        return 1


def relu():
    return 2


@dataclass
class Config:
    width: int = 4
    activation: object = relu
    head: Head = field(default_factory=Head)

    def __post_init__(self):
        self.check()

    def check(self):
        return self.head.apply()


def other():
    return 3


config = Config(width=2, activation=other)
changed = replace(config, width=8)
for each in (changed, Config()):
    each.activation()
changed.head.apply()
changed.check()
