"""scikit-learn's digits, 100 clients, client-level differential privacy, in seconds.

    python scripts/train.py --config configs/digits_dp.py

Expected: test accuracy 0.9120 ± 0.0153 over 5 seeds.
"""

from pride_jax.settings import (
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
    data=Data("digits"),
    partition=Partition("iid", clients=100),
    model=Model("logistic"),
    client=Client(learning_rate=1.0, epochs=1, batch_size=None),
    server=Server(learning_rate=4.0),
    cohort=Cohort("truncated_poisson", size=50, weighting="uniform"),
    privacy=Privacy(clipping_norm=0.5, mechanism="gaussian", epsilon=8.0, delta=1e-3),
    evaluation=Evaluation(every=10),
)
