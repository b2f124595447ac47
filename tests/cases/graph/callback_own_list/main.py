class Bus:
    def __init__(self):
        self.listeners = []

    def on(self, listener):
        self.listeners.append(listener)

    def emit(self, event):
        for listener in self.listeners:
            listener(event)


def log(event):
    return event


class Meter:
    def update(self, event):
        return event


bus = Bus()
bus.on(log)
bus.on(Meter().update)
bus.emit("step")
