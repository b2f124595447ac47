import torch.nn as nn


class WordModel(nn.Module):
    def __init__(self, n_words, width, dropout=0.1):
        super().__init__()
        self.embed = nn.Embedding(n_words, width)
        self.rnn = nn.GRU(width, width)
        self.drop = nn.Dropout(dropout)
        self.head = nn.Linear(width, n_words)

    def forward(self, x, state=None):
        h, state = self.rnn(self.drop(self.embed(x)), state)
        return self.head(self.drop(h)), state
