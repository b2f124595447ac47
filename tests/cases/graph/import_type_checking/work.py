class Engine:
    def start(self):
        return 1


def make():
    return Engine()
