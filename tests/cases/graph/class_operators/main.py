class Vector:
    def __init__(self, value):
        self.value = value

    def __add__(self, other):
        return Vector(self.value + other.value)

    def __rmul__(self, factor):
        return Vector(factor * self.value)

    def __eq__(self, other):
        return self.value == other.value

    def __neg__(self):
        return Vector(-self.value)


left, right = Vector(1), Vector(2)
total = left + right
scaled = 3 * left
same = left == right
turned = -left
