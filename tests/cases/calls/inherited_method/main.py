from low import Low


class High(Low):
    def f(self):
        self.g()
