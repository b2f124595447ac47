def plain():
    return 1


def fancy():
    return 2


def run(rich, given=None):
    step = fancy if rich else plain
    step()
    handler = given or plain
    handler()
    return (fancy if rich else plain)()


run(True)
run(False, fancy)
