def low():
    return 1


def high():
    return 2


actions = {"low": lambda: low(), "high": lambda: high()}
actions["high"]()
bound = [lambda step=step: step() for step in (low, high)]
for action in bound:
    action()
