"""The two components of the Flower app."""

from pride_jax.deploy.flower import client, server

__all__ = ["client", "server"]
