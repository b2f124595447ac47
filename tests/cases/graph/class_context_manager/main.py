class Timer:
    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None

    def lap(self):
        return 1


def measure():
    with Timer() as timer:
        timer.lap()


measure()
