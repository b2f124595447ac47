class GPT:
    def __init__(self):
        self.depth = 2
