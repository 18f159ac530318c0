"""Digits (8×8), ten parties of uneven classes: a few seconds, from one config file to every plot.

    python scripts/train.py --config configs/digits_ten_party.py

Expected: EXPECTED
"""

from pride_jax.config import Client, Data, Evaluation, Experiment, Model, Partition

config = Experiment(
    rounds=150,
    data=Data("digits"),
    partition=Partition("dirichlet", clients=10, alpha=0.5),
    model=Model("mlp", hidden=(64,)),
    client=Client(learning_rate=1.0, epochs=2, batch_size=10),
    evaluation=Evaluation(every=5, comparison=True),
)
