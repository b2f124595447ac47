import sys


def adam():
    return 1


def sgd():
    return 2


def lion():
    return 3


def choose(name):
    make = adam
    if name == "sgd":
        make = sgd
        make()
    elif name == "lion":
        make = lion
    return make()


for name in ("adam", "sgd", "lion"):
    choose(name)
if len(sys.argv) > 1:
    final = adam
else:
    final = sgd
final()
