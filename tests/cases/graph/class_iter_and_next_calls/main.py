class Stream:
    def __init__(self, items):
        self.items = items

    def __iter__(self):
        return self

    def __next__(self):
        if not self.items:
            raise StopIteration
        return self.items.pop()


stream = iter(Stream([1, 2]))
next(stream)
rest = list(stream)
doubled = [2 * item for item in Stream([3])]
first, second = Stream([4, 5])
