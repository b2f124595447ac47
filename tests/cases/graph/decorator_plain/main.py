def traced(function):
    def wrapper(value):
        return function(value)

    return wrapper


@traced
def square(value):
    return value * value


square(2)
