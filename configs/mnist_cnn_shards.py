"""McMahan et al. (2016): CNN, 100 clients of two label shards, 10 a round, E=5, B=10; 99% in 229.

Training ends at the target. That takes hours on a CPU; --rounds 20 shows the way there.

    python scripts/train.py --config configs/mnist_cnn_shards.py

Expected: test accuracy 99.05% after 195 rounds; 99% after 192.7 rounds.
"""

from pride_jax.settings import Client, Cohort, Data, Evaluation, Experiment, Model, Partition

config = Experiment(
    rounds=300,
    data=Data("mnist"),
    partition=Partition("shards", clients=100, shards_per_client=2),
    model=Model("cnn"),
    client=Client(learning_rate=0.05, epochs=5, batch_size=10),
    cohort=Cohort("fixed_size", size=10),
    evaluation=Evaluation(every=5, target_accuracy=0.99, stop_at_target=True),
)
