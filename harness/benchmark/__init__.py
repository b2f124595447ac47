"""The benchmark of policies: walks on landscapes, what they say together, and how that is shown."""
