class Model:
    def __init__(self, width):
        self.width = width

    def grow(self, by):
        return Model(self.width + by)

    @classmethod
    def tiny(cls, scale):
        return cls(scale)

    @staticmethod
    def check(width):
        return width


model = Model(4)
model.grow(2)
Model.tiny(1)
Model.check(width=3)
