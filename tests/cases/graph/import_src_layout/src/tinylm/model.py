from tinylm.vocab import size
import tinylm.vocab


def build():
    tinylm.vocab.size()
    return size()
