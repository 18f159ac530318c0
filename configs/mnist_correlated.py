"""MNIST, 2,000 clients of 30 digits by Dirichlet(½) in ten groups that take turns; unamplified DP.

Everybody of a group takes part in its rounds, ten times in all. A linear model on pixels, and a
server with momentum and a falling learning rate, for which BLT noise is optimised. Banded and
independent noise (a band of 1) are sweeps in results/correlated/README.md.

    python scripts/train.py --config configs/mnist_correlated.py

Expected: see results/correlated/README.md.
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
    rounds=100,
    data=Data("mnist"),
    partition=Partition("dirichlet", clients=2000, alpha=0.5),
    model=Model("logistic"),
    client=Client(learning_rate=0.05, epochs=1, batch_size=10),
    server=Server(learning_rate=1.0, momentum=0.9, schedule="cosine"),
    cohort=Cohort("cyclic_poisson", size=200, groups=10, weighting="uniform"),
    privacy=Privacy(clipping_norm=0.1, mechanism="blt", noise="floats", epsilon=8.0, delta=1e-4),
    evaluation=Evaluation(every=50),
)
