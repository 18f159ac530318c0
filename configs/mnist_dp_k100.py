"""MNIST, Geyer et al.'s 100 clients of two classes each, client-level DP at ε = 8.0, δ = 1e-3.

The model is that of mnist_dp_k1000. Geyer et al. (2017) publish .78 at ε = 8, under
an accounting that does not hold.

    python scripts/sweep.py --config configs/mnist_dp_k100.py --over seed=0..4

Expected: test accuracy 0.9760 ± 0.0015 over 5 seeds; without noise 0.9876.
"""

from dataclasses import replace

from mnist_dp_k1000 import config as thousand

from pride_jax.settings import Cohort, Evaluation, Partition

config = replace(
    thousand,
    rounds=20,
    partition=Partition("shards", clients=100),
    client=replace(thousand.client, batch_size=20),
    server=replace(thousand.server, learning_rate=14.0),
    cohort=Cohort(weighting="uniform"),
    privacy=replace(thousand.privacy, delta=1e-3),
    evaluation=Evaluation(every=5),
)
