"""MNIST, the 539 people who wrote it as clients, client-level DP at ε = 8, δ = 1e-4.

A linear model on fixed wavelet features; the settings of mnist_dp_k1000, not tuned here. It needs
QMNIST's writers beside the IDX files.

    python scripts/sweep.py --config configs/mnist_writers_dp.py --over seed=0..4

Expected: test accuracy 0.9853 ± 0.0006 over five seeds.
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
    data=Data("mnist", features="scattering"),
    partition=Partition("groups"),
    model=Model("logistic"),
    client=Client(learning_rate=0.1, epochs=1, batch_size=50),
    server=Server(learning_rate=40.0, schedule="cosine"),
    cohort=Cohort("truncated_poisson", size=270, weighting="uniform"),
    privacy=Privacy(clipping_norm=0.1, mechanism="gaussian", epsilon=8.0, delta=1e-4),
    evaluation=Evaluation(every=10),
)
