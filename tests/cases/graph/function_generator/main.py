class Sample:
    def use(self):
        return 1


def samples(count):
    for _ in range(count):
        yield Sample()


def chained():
    yield from samples(2)
    yield Sample()


for sample in samples(3):
    sample.use()
next(chained()).use()
everything = list(chained())
everything[0].use()
