"""McMahan et al. (2016), table 2: the 2NN to 97% by fraction of clients, batch size and partition.

One local epoch on 100 clients of 600 digits. The sweeps are in results/mcmahan/README.md; `--over
cohort.size=1,10,20,50,100` are their C = 0, .1, .2, .5, 1, and `client.batch_size=None` is B = ∞.

    python scripts/train.py --config configs/mcmahan_2nn.py
"""

from pride_jax.settings import Client, Cohort, Data, Evaluation, Experiment, Model, Partition

config = Experiment(
    rounds=4300,
    data=Data("mnist"),
    partition=Partition("iid", clients=100, shards_per_client=2),
    model=Model("2nn"),
    client=Client(learning_rate=0.2, epochs=1, batch_size=10),
    cohort=Cohort("fixed_size", size=10),
    evaluation=Evaluation(every=5, target_accuracy=0.97, stop_at_target=True),
)
