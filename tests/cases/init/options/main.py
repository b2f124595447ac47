import argparse
import math
import time

import torch
import torch.nn as nn

from data import Corpus
from model import WordModel

parser = argparse.ArgumentParser(description="words")
parser.add_argument("--data", type=str, default="./corpus", help="folder of the corpus")
parser.add_argument("--width", type=int, default=16)
parser.add_argument("--lr", type=float, default=1.0, help="learning rate")
parser.add_argument("--clip", type=float, default=0.25)
parser.add_argument("--epochs", type=int, default=40)
parser.add_argument("--batch-size", type=int, default=4)
parser.add_argument("--bptt", type=int, default=8)
parser.add_argument("--seed", type=int, default=1111)
parser.add_argument("--accel", action="store_true")
args = parser.parse_args()

torch.manual_seed(args.seed)
device = torch.device("cuda" if args.accel else "cpu")
corpus = Corpus(args.data)
model = WordModel(len(corpus.words), args.width).to(device)
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.SGD(model.parameters(), lr=args.lr)


def columns(words, n):
    return words[: len(words) // n * n].view(n, -1).t().contiguous().to(device)


train_data = columns(corpus.train, args.batch_size)
valid_data = columns(corpus.valid, 2)
test_data = columns(corpus.test, 2)


def evaluate(source):
    model.eval()
    total = 0.0
    with torch.no_grad():
        for i in range(0, len(source) - 1, args.bptt):
            x = source[i : i + args.bptt][: len(source) - 1 - i]
            logits, _ = model(x)
            total += len(x) * criterion(logits.flatten(0, 1), source[i + 1 : i + 1 + len(x)].flatten()).item()
    return total / (len(source) - 1)


def train(epoch):
    model.train()
    total, start = 0.0, time.time()
    for batch, i in enumerate(range(0, len(train_data) - 1, args.bptt)):
        x = train_data[i : i + args.bptt][: len(train_data) - 1 - i]
        optimizer.zero_grad()
        logits, _ = model(x)
        loss = criterion(logits.flatten(0, 1), train_data[i + 1 : i + 1 + len(x)].flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), args.clip)
        optimizer.step()
        total += loss.item()
        if batch % 10 == 0 and batch > 0:
            ms = (time.time() - start) * 100
            print("| epoch {:3d} | {:5d} batches | ms/batch {:5.2f} | loss {:5.2f}".format(epoch, batch, ms, total / 10))
            total = 0.0


for epoch in range(1, args.epochs + 1):
    train(epoch)
    valid_loss = evaluate(valid_data)
    print("-" * 40)
    print("| end of epoch {:3d} | valid loss {:6.4f} | "
          "valid ppl {:8.2f}".format(epoch, valid_loss, math.exp(valid_loss)))
test_loss = evaluate(test_data)
print("| end | test loss {:6.4f} | test ppl {:8.2f}".format(test_loss, math.exp(test_loss)))
