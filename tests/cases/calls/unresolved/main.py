def f(x):
    x.g()
    unknown()
