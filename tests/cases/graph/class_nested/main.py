class Model:
    class Config:
        def width(self):
            return 4

    def __init__(self):
        self.config = Model.Config()
        self.other = self.Config()

    def build(self):
        class Local(Model.Config):
            def depth(self):
                return self.width()

        return Local().depth() + self.config.width() + self.other.width()


Model().build()
