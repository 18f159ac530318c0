"""MNIST, Geyer et al.'s 1,000 clients of two classes each, client-level DP at ε = 8.0, δ = 1e-5.

Every digit is held by ten clients: ε covers a client, and none is left for a digit.
A linear model on fixed wavelet features, see `pride_jax.data.features`. Geyer et al. (2017) publish
.92 at ε = 8, under an accounting that does not hold.

    python scripts/sweep.py --config configs/mnist_dp_k1000.py --over seed=0..4

Expected: test accuracy 0.9917 ± 0.0008 over 5 seeds; without noise 0.9935.
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
    partition=Partition("shards", clients=1000, copies=10),
    model=Model("logistic"),
    client=Client(learning_rate=0.1, epochs=1, batch_size=50),
    server=Server(learning_rate=40.0, schedule="cosine"),
    cohort=Cohort("truncated_poisson", size=300, weighting="uniform"),
    privacy=Privacy(clipping_norm=0.1, mechanism="gaussian", epsilon=8.0, delta=1e-5),
    evaluation=Evaluation(every=10),
)
