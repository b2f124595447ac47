import sys

import losses

name = sys.argv[1] if len(sys.argv) > 1 else "mse"
criterion = getattr(losses, name)
criterion(1, 2)
