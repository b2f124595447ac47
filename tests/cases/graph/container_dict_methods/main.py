def adam():
    return 1


def sgd():
    return 2


def lion():
    return 3


makers = {"adam": adam}
makers["sgd"] = sgd
makers.update(lion=lion)
makers.get("adam")()
for name, make in makers.items():
    make()
for make in makers.values():
    make()
for name in makers:
    makers[name]()
makers.get("none", sgd)()
