class Block:
    def run(self):
        return 1


def make(depth):
    return Block()


for block in map(make, range(2)):
    block.run()
first, second = sorted([Block(), Block()], key=lambda block: block.run())
second.run()
