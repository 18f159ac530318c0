"""A neighbour that the config imports."""

ROUNDS = 2
