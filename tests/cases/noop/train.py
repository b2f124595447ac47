"""Train nothing: use the budget of one step up, write the numbers of the configuration down."""

import numpy as np
from safetensors.numpy import save_file

from config import NUMBERS
from prepare import ask_for_a_step, checkpoint_path


def main() -> None:
    while ask_for_a_step() < 1.0:
        pass
    save_file({"w": np.array(NUMBERS, dtype=float)}, checkpoint_path())


if __name__ == "__main__":
    main()
