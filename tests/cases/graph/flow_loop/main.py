def warm():
    return 1


def cool():
    return 2


def train(steps):
    phase = warm
    for step in range(steps):
        phase()
        phase = cool
    return phase()


train(0)
train(3)
