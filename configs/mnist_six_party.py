"""MNIST, six parties of 300 to 30,000 digits, as in the original PRIDE work: who gains by joining?

The original averaged logistic models once: 93.0% against 91.75% for its central model.

    python scripts/train.py --config configs/mnist_six_party.py

Expected: test accuracy 98.31% after 30 rounds; the central model 98.47%, clients alone from 84.86%
to 98.04%.
"""

from pride_jax.settings import Client, Data, Evaluation, Experiment, Model, Partition

config = Experiment(
    rounds=30,
    data=Data("mnist"),
    partition=Partition("sizes", sizes=(1200, 30000, 3000, 1200, 12000, 300)),
    model=Model("2nn"),
    client=Client(learning_rate=0.1, epochs=1, batch_size=10),
    evaluation=Evaluation(every=1, comparison=True),
)
