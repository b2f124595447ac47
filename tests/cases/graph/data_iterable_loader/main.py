from torch.utils.data import DataLoader, IterableDataset


class Stream(IterableDataset):
    def __iter__(self):
        for place in range(2):
            yield self.row(place)

    def row(self, place):
        return place


loader = DataLoader(Stream(), batch_size=None)
batches = iter(loader)
first = next(batches)
for row in Stream():
    print(row)
