class Count:
    def __init__(self, value):
        self.value = value

    def __bool__(self):
        return self.value > 0

    def __int__(self):
        return self.value

    def __str__(self):
        return "count"

    def __hash__(self):
        return self.value

    def __lt__(self, other):
        return self.value < other.value

    def __iadd__(self, other):
        self.value += other
        return self


count = Count(1)
if count:
    int(count)
str(count)
hash(count)
lower = count < Count(3)
count += 2
