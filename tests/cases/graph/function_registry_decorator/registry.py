OPTIMIZERS = {}


def register(name):
    def keep(function):
        OPTIMIZERS[name] = function
        return function

    return keep
