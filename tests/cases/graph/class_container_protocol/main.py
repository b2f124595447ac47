class Tokens:
    def __init__(self, ids):
        self.ids = ids

    def __getitem__(self, place):
        return self.ids[place]

    def __setitem__(self, place, value):
        self.ids[place] = value

    def __len__(self):
        return len(self.ids)

    def __contains__(self, value):
        return value in self.ids


tokens = Tokens([1, 2])
first = tokens[0]
tokens[1] = first
size = len(tokens)
known = 2 in tokens
