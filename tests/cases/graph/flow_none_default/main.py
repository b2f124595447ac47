class Tokenizer:
    def encode(self):
        return 1


class Model:
    def __init__(self, tokenizer=None):
        if tokenizer is None:
            tokenizer = Tokenizer()
        self.tokenizer = tokenizer
        self.cache = None

    def run(self):
        if self.cache is None:
            self.cache = Tokenizer()
        self.cache.encode()
        return self.tokenizer.encode()


Model().run()
