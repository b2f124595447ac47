class Trainer:
    def fit(self):
        self.on_start()
        self.on_end()

    def on_start(self):
        return None

    def on_end(self):
        raise NotImplementedError


class Quick(Trainer):
    def on_end(self):
        return 1


class Slow(Trainer):
    def on_start(self):
        return 2

    def on_end(self):
        return 3


class Unused(Trainer):
    def on_end(self):
        return 4


Quick().fit()
Slow().fit()
