"""What codegraft costs, as ratios to something that everybody knows, measured in one run: `make bench`."""
