def plain():
    return 1


def fancy():
    return 2


def build():
    action = plain

    def upgrade():
        nonlocal action
        action = fancy

    def run():
        return action()

    run()
    upgrade()
    run()


build()
