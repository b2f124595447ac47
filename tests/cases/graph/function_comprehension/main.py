class Block:
    def run(self):
        return 1


def make(depth):
    return Block()


blocks = [make(depth) for depth in range(3)]
total = sum(block.run() for block in blocks)
by_name = {str(place): block for place, block in enumerate(blocks)}
by_name["0"].run()
kept = {block.run() for block in blocks if block.run()}
