"""McMahan et al. (2016): CNN, 100 IID clients, 10 a round, E=5, B=10; 99% within 20 rounds.

    python scripts/train.py --config configs/mnist_cnn_iid.py

Expected: see results/mcmahan/README.md.
"""

from pride_jax.settings import Client, Cohort, Data, Evaluation, Experiment, Model, Partition

config = Experiment(
    rounds=25,
    data=Data("mnist"),
    partition=Partition("iid", clients=100),
    model=Model("cnn"),
    client=Client(learning_rate=0.2, epochs=5, batch_size=10),
    cohort=Cohort("fixed_size", size=10),
    evaluation=Evaluation(every=1, target_accuracy=0.99),
)
