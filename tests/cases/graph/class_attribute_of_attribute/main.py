class Store:
    def save(self):
        return 1


class Run:
    def __init__(self, store):
        self.store = store


class Campaign:
    def __init__(self):
        self.run = Run(Store())

    def finish(self):
        self.run.store.save()
        run = self.run
        run.store.save()


Campaign().finish()
