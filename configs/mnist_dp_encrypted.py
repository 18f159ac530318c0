"""MNIST, 100 clients of two classes each: noise in encrypted shares, client-level DP at ε = 8.

As mnist_dp_k100, but nobody ever sees a sum without noise: each client adds its share of integer
noise to its integers before it encrypts them with 3072-bit Paillier.

    python scripts/sweep.py --config configs/mnist_dp_encrypted.py --over seed=0..4

Expected: test accuracy 0.9751 ± 0.0013 over 5 seeds.
"""

from dataclasses import replace

from mnist_dp_k100 import config as hundred

from pride_jax.settings import Aggregation

config = replace(
    hundred,
    privacy=replace(hundred.privacy, mechanism="skellam"),
    aggregation=Aggregation("paillier", key_bits=3072, bits=12),
)
