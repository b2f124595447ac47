class Base:
    def step(self):
        return ["base"]


class Left(Base):
    def step(self):
        return ["left", *super().step()]


class Right(Base):
    def step(self):
        return ["right", *super().step()]


class Both(Left, Right):
    def step(self):
        return ["both", *super().step()]


Both().step()
