def repeat(times):
    def decorate(function):
        def wrapper():
            return [function() for _ in range(times)]

        return wrapper

    return decorate


@repeat(3)
def roll():
    return 4


roll()
