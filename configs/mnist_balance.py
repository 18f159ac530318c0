"""Privacy, accuracy and time: one federation under every protocol and every kind of noise.

Geyer et al.'s 1,000 clients of two classes each, 300 of them a round, 12-bit integers: the settings
of mnist_dp_k1000, whose updates are added as integers. The sweeps are in results/balance/README.md.

    python scripts/train.py --config configs/mnist_balance.py

Expected: see results/balance/README.md.
"""

from dataclasses import replace

from mnist_dp_k1000 import config as thousand

from pride_jax.settings import Aggregation

config = replace(
    thousand,
    privacy=replace(thousand.privacy, epsilon=3.0),
    aggregation=Aggregation("plain", bits=12),
)
