def area(side):
    return side * side


class Square:
    def __init__(self, side):
        self.side = side

    def grow(self):
        return area(self.side)
