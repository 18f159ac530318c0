"""MNIST, the 539 people who wrote it as clients, client-level DP at ε = 8, δ = 1e-4.

A linear model on fixed wavelet features; the settings of mnist_dp_k1000, not tuned here. It needs
QMNIST's writers beside the IDX files.

    python scripts/sweep.py --config configs/mnist_writers_dp.py --over seed=0..4

Expected: test accuracy 0.9856 ± 0.0004 over 5 seeds.
"""

from dataclasses import replace

from mnist_dp_k1000 import config as thousand

from pride_jax.settings import Cohort, Partition

config = replace(
    thousand,
    partition=Partition("groups"),
    cohort=Cohort("truncated_poisson", size=270, weighting="uniform"),
    privacy=replace(thousand.privacy, delta=1e-4),
)
