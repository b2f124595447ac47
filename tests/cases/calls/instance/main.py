class A:
    def f(self): ...


def make():
    return A()


make().f()
a, b = A(), 3
a.f()
