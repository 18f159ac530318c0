"""A researcher's own data."""

import numpy as np

from pride_jax.data.datasets import Dataset


def blobs(examples: int = 60, spread: float = 0.5, seed: int = 0) -> Dataset:
    """Three clouds of points in a plane."""
    rng = np.random.default_rng(seed)
    labels = np.arange(examples, dtype=np.int32) % 3
    centres = np.array([[0, 2], [2, -1], [-2, -1]], np.float32)
    points = (centres[labels] + spread * rng.normal(size=(examples, 2))).astype(np.float32)
    half = examples // 2
    zero, one = np.zeros(2, np.float32), np.ones(2, np.float32)
    return Dataset(
        "blobs", points[:half], labels[:half], points[half:], labels[half:], 3, zero, one, None
    )
