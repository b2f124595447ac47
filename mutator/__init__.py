"""Typed edits on the code graph, rendered back to source with every other byte untouched."""
