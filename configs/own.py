"""Your own table, images or text: client-level DP at ε = 8, every sum masked; for any data.

    python scripts/train.py --config configs/own.py --data.name wine.csv --data.target cultivar

README.md has the command for a whole table, and pride_jax/data/README.md those for images and a
text. Set `privacy.delta` below one in ten times as many clients as there are.
"""

from pride_jax.settings import (
    Aggregation,
    Client,
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
    data=Data("iris"),
    partition=Partition("iid", clients=60),
    model=Model("logistic"),
    client=Client(learning_rate=0.1, epochs=1, batch_size=None),
    server=Server(learning_rate=10.0, schedule="cosine"),
    privacy=Privacy(clipping_norm=0.1, mechanism="gaussian", epsilon=8.0, delta=1e-3),
    aggregation=Aggregation("masking"),
    evaluation=Evaluation(every=10),
)
