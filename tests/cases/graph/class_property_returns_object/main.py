class Head:
    def apply(self):
        return 1


class Net:
    @property
    def head(self):
        return Head()

    def run(self):
        return self.head.apply()


Net().run()
