def down(n, visit):
    visit(n)
    return down(n - 1, visit) if n else n


def even(n):
    return True if n == 0 else odd(n - 1)


def odd(n):
    return False if n == 0 else even(n - 1)


def show(n):
    return n


class Tree:
    def __init__(self, depth):
        self.child = Tree(depth - 1) if depth else None

    def walk(self):
        if self.child:
            self.child.walk()


down(2, show)
even(3)
Tree(2).walk()
