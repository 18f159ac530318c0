"""MNIST by its 539 writers (QMNIST): natural clients of 19 to 131 digits; the 2NN, 50 a round.

Needs qmnist-train-labels-idx2-int.gz beside MNIST's IDX files, see pride_jax/data/README.md. A
sixth of the digits, of all writers, are held out to tell how well each of them is served. FedAvg as
it stands; FedProx, FedAvgM and FedAdam are the sweeps in results/writers/README.md.

    python scripts/train.py --config configs/mnist_writers.py

Expected: see results/writers/README.md.
"""

from pride_jax.settings import Client, Cohort, Data, Evaluation, Experiment, Model, Partition

config = Experiment(
    rounds=200,
    data=Data("mnist", validation_examples=10_000),
    partition=Partition("groups"),
    model=Model("2nn"),
    client=Client(learning_rate=0.1, epochs=1, batch_size=10),
    cohort=Cohort("fixed_size", size=50),
    evaluation=Evaluation(every=5),
)
