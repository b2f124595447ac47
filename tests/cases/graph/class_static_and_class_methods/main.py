class Vocab:
    size = 256

    @staticmethod
    def clean(text):
        return text.strip()

    @classmethod
    def load(cls, text):
        cls.clean(text)
        return cls(text)

    def __init__(self, text):
        self.text = self.clean(text)

    def encode(self):
        return [self.load("b")]


Vocab.clean("a")
Vocab.load("a").encode()
