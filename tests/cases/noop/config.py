"""Numbers to edit, all of them written to the checkpoint."""

NUMBERS = [8, 0.5, 16, 0.25]
