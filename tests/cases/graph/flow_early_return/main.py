def plain():
    return 1


def fancy():
    return 2


def run(quick):
    step = fancy
    if quick:
        step = plain
        return step()
    return step()


run(True)
run(False)
