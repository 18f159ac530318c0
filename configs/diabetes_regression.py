"""scikit-learn's diabetes, ten clients, a quantity predicted instead of a class.

python scripts/train.py --config configs/diabetes_regression.py
"""

from pride_jax.settings import Client, Data, Evaluation, Experiment, Model, Partition, Task

config = Experiment(
    rounds=60,
    data=Data("diabetes"),
    partition=Partition("iid", clients=10, held_out=0.2),
    model=Model("mlp", {"hidden": (16,)}),
    task=Task("regression"),
    client=Client(learning_rate=0.05, epochs=2, batch_size=10),
    evaluation=Evaluation(every=2, comparison=True),
)
