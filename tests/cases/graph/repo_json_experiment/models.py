class Linear:
    def __init__(self, width):
        self.width = width

    def predict(self, x):
        return x * self.width
