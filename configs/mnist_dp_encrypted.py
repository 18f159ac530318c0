"""MNIST, 100 clients of two classes each: noise in encrypted shares, client-level DP at ε = 8.

As mnist_dp_k100, but nobody ever sees a sum without noise: each client adds its share of integer
noise to its integers before it encrypts them with 3072-bit Paillier.

    python scripts/sweep.py --config configs/mnist_dp_encrypted.py --over seed=0..4

Expected: test accuracy 0.9729 ± 0.0021 over five seeds.
"""

from pride_jax.settings import (
    Aggregation,
    Client,
    Cohort,
    Data,
    Evaluation,
    Experiment,
    Model,
    Partition,
    Privacy,
    Server,
)

config = Experiment(
    rounds=20,
    data=Data("mnist", features="scattering"),
    partition=Partition("shards", clients=100),
    model=Model("logistic"),
    client=Client(learning_rate=0.1, epochs=1, batch_size=20),
    server=Server(learning_rate=14.0, schedule="cosine"),
    cohort=Cohort(weighting="uniform"),
    privacy=Privacy(
        clipping_norm=0.1, mechanism="skellam", epsilon=8.0, delta=1e-3, tuning_runs=157
    ),
    aggregation=Aggregation("paillier", key_bits=3072, bits=12),
    evaluation=Evaluation(every=5),
)
