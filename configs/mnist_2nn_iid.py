"""McMahan et al. (2016): 2NN, 100 IID clients, 10 a round, E=1, B=10; 97% within 87 rounds.

    python scripts/train.py --config configs/mnist_2nn_iid.py

Expected: test accuracy 97.84% after 100 rounds; 97% after 39.0 rounds.
"""

from pride_jax.settings import Client, Cohort, Data, Evaluation, Experiment, Model, Partition

config = Experiment(
    rounds=100,
    data=Data("mnist"),
    partition=Partition("iid", clients=100),
    model=Model("2nn"),
    client=Client(learning_rate=0.2, epochs=1, batch_size=10),
    cohort=Cohort("fixed_size", size=10),
    evaluation=Evaluation(every=1, target_accuracy=0.97),
)
