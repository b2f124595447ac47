from tinylm.model import build

build()
