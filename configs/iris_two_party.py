"""Iris, two parties, every update encrypted: the original PRIDE experiment."""

from pride_jax.config import (
    Aggregation,
    Client,
    Data,
    Evaluation,
    Experiment,
    Model,
    Partition,
)

config = Experiment(
    rounds=30,
    data=Data("iris", test_examples=90),
    partition=Partition("iid", clients=2),
    model=Model("mlp", hidden=(16,)),
    client=Client(learning_rate=0.3, epochs=5, batch_size=10),
    aggregation=Aggregation("paillier"),
    evaluation=Evaluation(every=5, comparison_epochs=150),
)
