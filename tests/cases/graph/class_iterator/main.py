class Stepper:
    def __init__(self, stop):
        self.at, self.stop = 0, stop

    def __next__(self):
        if self.at == self.stop:
            raise StopIteration
        self.at += 1
        return Batch()


class Loader:
    def __iter__(self):
        return Stepper(2)


class Batch:
    def use(self):
        return 1


for batch in Loader():
    batch.use()
