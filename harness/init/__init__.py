"""What `codegraft init` finds out about a repository that knows nothing of codegraft, and the manifest that it writes from it."""
