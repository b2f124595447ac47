class Config:
    def __init__(self, width):
        self.width = width

    @classmethod
    def small(cls):
        return cls(4)


class Wide(Config):
    def grow(self):
        return self.width


config = Wide.small()
config.grow()
