from tools import go, stop


def work():
    return 1


def other():
    return 2


def print(text):
    return text


def by_parameter(work):
    return work()


def by_local():
    go = other
    return go()


class Runner:
    def work(self):
        return 3

    def run(self):
        return work()


def stop():
    return 4


by_parameter(other)
by_local()
Runner().run()
print("ours")
stop()
[work for work in range(3)]
work()
later = lambda work: work()
later(other)
