"""Methods of federated learning, one paper a file."""
