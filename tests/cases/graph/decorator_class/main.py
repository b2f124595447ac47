class Counted:
    def __init__(self, function):
        self.function = function
        self.count = 0

    def __call__(self, value):
        self.count += 1
        return self.function(value)


@Counted
def square(value):
    return value * value


square(3)
