from functools import reduce


def size(text):
    return len(text)


def short(text):
    return size(text) < 3


def join(left, right):
    return left + right


words = ["a", "bcd"]
sorted(words, key=size)
words.sort(key=lambda word: -size(word))
list(map(size, words))
list(filter(short, words))
reduce(join, words)
max(words, key=size)
