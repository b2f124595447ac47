def checked(method):
    def wrapper(self, value):
        self.check(value)
        return method(self, value)

    return wrapper


class Meter:
    def check(self, value):
        return value

    @checked
    def update(self, value):
        return value

    @staticmethod
    @checked
    def other(self, value):
        return value


class Loud(Meter):
    @checked
    def update(self, value):
        return super().update(value)


Loud().update(1)
Meter().other(Meter(), 2)
