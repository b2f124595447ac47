def first():
    return 1


def second():
    return 2


def run():
    step = first
    step()
    step = second
    step()


step = second
step()
step = first
step()
run()
