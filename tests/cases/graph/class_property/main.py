class Schedule:
    def __init__(self):
        self._rate = 0.1

    @property
    def rate(self):
        return self.scale() * self._rate

    @rate.setter
    def rate(self, value):
        self._rate = value

    def scale(self):
        return 2


schedule = Schedule()
schedule.rate = 0.2
print(schedule.rate)
