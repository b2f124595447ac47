from registry import OPTIMIZERS
import optimizers

for name in ("adam", "sgd"):
    OPTIMIZERS[name]()
