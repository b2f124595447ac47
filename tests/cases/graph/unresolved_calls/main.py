def use(x, table):
    x.go()
    x.deep.go()
    table["a"]()
    missing()
    return local()


def local():
    return len([1])


class Open(missing_base):
    def run(self):
        return self.nowhere()
