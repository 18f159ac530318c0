"""McMahan et al. (2016), Table 2: 2NN, E=1; rounds to 97% for every cohort, batch and division.

    python scripts/sweep.py --config configs/mcmahan_2nn.py --over seed=0..2 --over cohort.size=1,10

with the other settings of a cell, such as `--partition.kind shards --client.batch_size None`, put
in by further `--over`; results/mcmahan/README.md lists them, and each cell's learning rate.
"""

from pride_jax.config import Client, Cohort, Data, Evaluation, Experiment, Model, Partition

config = Experiment(
    rounds=5000,
    data=Data("mnist"),
    partition=Partition("iid", clients=100, shards_per_client=2),
    model=Model("2nn"),
    client=Client(learning_rate=0.2, epochs=1, batch_size=10),
    cohort=Cohort("fixed_size", size=10),
    evaluation=Evaluation(every=1, target_accuracy=0.97, stop_at_target=True),
)
