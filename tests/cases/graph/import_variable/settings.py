def sgd():
    return 1


default_optimizer = sgd
limits = {"low": sgd}
rate = 0.1
