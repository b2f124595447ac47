class Circle:
    def turn(self):
        return 1


class Square:
    def cut(self):
        return 2


def small():
    return 3


def large():
    return 4


def draw(shape, size):
    match shape:
        case Circle():
            shape.turn()
        case Square() as box:
            box.cut()
    match size:
        case "small":
            scale = small
        case _:
            scale = large
    return scale()


draw(Circle(), "small")
draw(Square(), "large")
