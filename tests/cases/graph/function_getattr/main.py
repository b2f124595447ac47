import ops


class Runner:
    def start(self):
        return 1

    def stop(self):
        return 2


getattr(ops, "add")()
getattr(Runner(), "start")()
for name in ("add", "mul"):
    getattr(ops, name)()
