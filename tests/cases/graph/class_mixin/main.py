class Logs:
    def log(self):
        return self.describe()


class Model:
    def describe(self):
        return "model"


class LoggedModel(Logs, Model):
    pass


LoggedModel().log()
