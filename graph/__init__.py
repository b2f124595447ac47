"""The semantic code graph: a repository's Python files as one graph of units, sites and resolved names."""
