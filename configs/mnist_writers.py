"""MNIST by its 539 writers (QMNIST): natural clients of 19 to 131 digits; the 2NN, 50 a round.

Needs qmnist-train-labels-idx2-int.gz beside MNIST's IDX files, see the README.

    python scripts/train.py --config configs/mnist_writers.py

Expected: test accuracy 97.92% after 200 rounds; on writers' own digits median 100.00%, worst tenth
below 98.32%.
"""

from pride_jax.config import Client, Cohort, Data, Evaluation, Experiment, Model, Partition, Server

config = Experiment(
    rounds=200,
    data=Data("mnist"),
    partition=Partition("groups"),
    model=Model("2nn"),
    client=Client(learning_rate=0.1, epochs=1, batch_size=10),
    server=Server(momentum=0.9),
    cohort=Cohort("fixed_size", size=50),
    evaluation=Evaluation(every=5),
)
