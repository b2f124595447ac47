class Model:
    def run(self):
        return 1


class Wrapper:
    def __init__(self, inner):
        self.inner = inner

    def __getattr__(self, name):
        return getattr(self.inner, name)


wrapped = Wrapper(Model())
wrapped.run()
