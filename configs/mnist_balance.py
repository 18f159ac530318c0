"""Privacy, accuracy and time: one federation under every protocol and every kind of noise.

Geyer et al.'s 1,000 clients of two classes each, 300 of them a round, 12-bit integers: the settings
of mnist_dp_k1000, whose updates are added as integers. The sweeps are in results/balance/README.md.

    python scripts/train.py --config configs/mnist_balance.py

Expected: see results/balance/README.md.
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
    rounds=40,
    data=Data("mnist", features="scattering"),
    partition=Partition("shards", clients=1000, copies=10),
    model=Model("logistic"),
    client=Client(learning_rate=0.1, epochs=1, batch_size=50),
    server=Server(learning_rate=40.0, schedule="cosine"),
    cohort=Cohort("truncated_poisson", size=300, weighting="uniform"),
    privacy=Privacy(
        clipping_norm=0.1, mechanism="gaussian", epsilon=3.0, delta=1e-5, tuning_runs=95
    ),
    aggregation=Aggregation("plain", bits=12),
    evaluation=Evaluation(every=10),
)
