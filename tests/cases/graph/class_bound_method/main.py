class Meter:
    def update(self):
        return 1

    def reset(self):
        return 0


meter = Meter()
record = meter.update
record()
unbound = Meter.reset
unbound(meter)
for action in (meter.update, meter.reset):
    action()
