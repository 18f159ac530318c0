"""McMahan et al. (2016): 2NN, 100 clients of two label shards, 10 a round, E=1, B=10; 97% in 664.

    python scripts/train.py --config configs/mnist_2nn_shards.py

Expected: test accuracy 97.85% after 700 rounds; 97% after 203.2 rounds.
"""

from pride_jax.settings import Client, Cohort, Data, Evaluation, Experiment, Model, Partition

config = Experiment(
    rounds=700,
    data=Data("mnist"),
    partition=Partition("shards", clients=100, shards_per_client=2),
    model=Model("2nn"),
    client=Client(learning_rate=0.2, epochs=1, batch_size=10),
    cohort=Cohort("fixed_size", size=10),
    evaluation=Evaluation(every=5, target_accuracy=0.97),
)
