def mark(function):
    function.marked = True
    return function


@mark
def load():
    return 1


@mark
class Reader:
    def read(self):
        return load()


Reader().read()
