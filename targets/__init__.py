"""What is searched: the manifest of a target, and the training repositories that ship with codegraft."""
