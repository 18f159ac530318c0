"""Privacy-preserving federated learning in JAX."""
