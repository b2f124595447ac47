class RunError(Exception):
    def __init__(self, reason):
        super().__init__(reason)
        self.reason = reason

    def explain(self):
        return self.reason


class DataError(RunError):
    pass


def load():
    raise DataError("empty")


try:
    load()
except RunError as error:
    error.explain()
