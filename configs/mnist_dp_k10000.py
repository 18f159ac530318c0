"""MNIST, Geyer et al.'s 10,000 clients of two classes each, client-level DP at ε = 3.0, δ = 1e-6.

Every digit is held by a hundred clients: ε covers a client, and none is left for a digit.
All else is as in mnist_dp_k1000. Geyer et al. (2017) publish .96 at ε = 8, under
an accounting that does not hold.

    python scripts/sweep.py --config configs/mnist_dp_k10000.py --over seed=0..4

Expected: test accuracy 0.9933 ± 0.0002 over 5 seeds; without noise 0.9934.
"""

from dataclasses import replace

from mnist_dp_k1000 import config as thousand

from pride_jax.settings import Cohort, Partition

config = replace(
    thousand,
    partition=Partition("shards", clients=10_000, copies=100),
    cohort=Cohort("truncated_poisson", size=1000, weighting="uniform"),
    privacy=replace(thousand.privacy, epsilon=3.0, delta=1e-6),
)
