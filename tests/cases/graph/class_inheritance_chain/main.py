class Base:
    def setup(self):
        return self.size()

    def size(self):
        return 1


class Middle(Base):
    def size(self):
        return 2


class Leaf(Middle):
    def run(self):
        self.setup()
        return self.size()


Leaf().run()
