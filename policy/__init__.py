"""Which edit next: random, local search, and a transformer trained with PPO."""
