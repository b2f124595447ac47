class Node:
    def name(self):
        return "node"


class Left(Node):
    pass


class Right(Node):
    def name(self):
        return "right"


class Both(Left, Right):
    pass


Both().name()
