"""Iris, two parties, every update encrypted: the original PRIDE experiment.

60 training flowers, 30 a party, and 90 to test on. The sigmoid network was tuned on the splits of
seeds 1000 to 1199; results/iris/README.md tells how.

    python scripts/train.py --config configs/iris_two_party.py
    python scripts/sweep.py --config configs/iris_two_party.py --over seed=0..19

Expected: see results/iris/README.md.
"""

from pride_jax.settings import (
    Aggregation,
    Client,
    Data,
    Evaluation,
    Experiment,
    Model,
    Partition,
    Task,
)

config = Experiment(
    rounds=20,
    data=Data("iris", test_examples=90),
    partition=Partition("iid", clients=2),
    model=Model("mlp", {"hidden": (32,)}),
    task=Task("classification", {"label_smoothing": 0.4}),
    client=Client(
        learning_rate=0.3,
        momentum=0.9,
        schedule="cosine",
        weight_decay=3e-3,
        borrowed_scatter=1.0,
        epochs=10,
        batch_size=10,
    ),
    aggregation=Aggregation("paillier", key_bits=3072, bits=16, limit=4.0),
    evaluation=Evaluation(every=5, comparison=True),
)
